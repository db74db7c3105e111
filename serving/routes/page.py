"""The web page at `/`. It needs no key; what it asks the API for does."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from serving.page_files import FILES

router = APIRouter(include_in_schema=False)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def page_file(request: Request) -> Response:
    """A file of the page, which may load nothing from elsewhere and run no inline script."""
    content, kind = FILES[request.scope["path"]]
    return Response(content, media_type=kind, headers={"Content-Security-Policy": POLICY})


for _path in FILES:
    router.add_api_route(_path, page_file, methods=["GET"])

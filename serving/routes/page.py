"""The web page at `/`. It needs no key; what it asks the API for does."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from serving.page_files import FILES
from serving.routes.common import Parts

router = APIRouter(include_in_schema=False)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src {}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def page_file(request: Request, service: Parts) -> Response:
    """A file of the page, which runs no inline script and loads nothing from elsewhere.

    Images alone it may load from anywhere, and only where a catalog has a column `image`.
    """
    content, kind = FILES[request.scope["path"]]
    shown = any("image" in one.catalog.metadata for one in service.engine.domains.values())
    images = "'self' http: https:" if shown else "'self'"
    headers = {"Content-Security-Policy": POLICY.format(images)}
    return Response(content, media_type=kind, headers=headers)


for _path in FILES:
    router.add_api_route(_path, page_file, methods=["GET"])

"""Whether the server lives, whether it takes requests, and what it has counted."""

from fastapi import APIRouter, Depends
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from serving.access import allowed
from serving.errors import EngineDownError, unavailable
from serving.responses import JsonAnswer
from serving.routes.common import ERRORS, Parts

router = APIRouter(tags=["operation"], responses={status: ERRORS[status] for status in (400, 503)})


@router.get("/healthz")
async def health() -> JsonAnswer:
    """The process lives."""
    return JsonAnswer({"status": "ok"})


@router.get("/readyz")
async def ready(service: Parts) -> JsonAnswer:
    """The server takes requests: model and store can be used, and nobody told it to end."""
    if service.draining:
        raise unavailable("the server is about to end", "draining")
    if not service.engine.up:
        raise EngineDownError
    await service.store.check()
    return JsonAnswer({"status": "ready"})


@router.get(
    "/metrics",
    response_class=Response,
    responses=ERRORS,
    dependencies=[Depends(allowed("metrics"))],
)
async def metrics(service: Parts) -> Response:
    """All counts, in Prometheus' format."""
    registry = await service.counted() if service.counted else service.metrics.registry
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

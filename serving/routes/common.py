"""What several routes share."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request

from serving.schemas import ErrorAnswer, Identity
from serving.service import Service


async def service_of(request: Request) -> Service:
    """The running server's parts."""
    service: Service = request.app.state.service
    return service


Parts = Annotated[Service, Depends(service_of)]
PathId = Annotated[str, Path(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
Domain = Annotated[Identity | None, Query(description="The catalog, where the model has several.")]
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in (
        (400, "The request is wrong."),
        (401, "There is no key, or none that holds."),
        (403, "The key does not allow this."),
        (404, "There is no such thing."),
        (408, "The body came too slowly."),
        (409, "It differs from what was said before."),
        (413, "The body is too large."),
        (422, "The request does not fit the catalog."),
        (429, "Too many requests, or the queue is full; see Retry-After."),
        (500, "The server failed."),
        (503, "It cannot be done now; see Retry-After."),
        (504, "The deadline has passed."),
    )
}

"""`POST /v1/events` and what is kept of users."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request

from serving.access import Caller, allowed
from serving.errors import ApiError
from serving.request_steps import refuse_unknown
from serving.responses import JsonAnswer
from serving.routes.common import ERRORS, Domain, Parts, PathId
from serving.schemas import Erased, EventAnswer, EventRequest, History, Identity
from serving.store import Event

router = APIRouter(tags=["users"], responses=ERRORS)


@router.post("/v1/events", response_model=EventAnswer)
async def add_event(
    body: EventRequest,
    request: Request,
    service: Parts,
    caller: Annotated[Caller, Depends(allowed("events"))],
    idempotency_key: Annotated[
        Identity | None, Header(description="Names the event, so that a retry is not counted.")
    ] = None,
) -> JsonAnswer:
    """Keep what a user did. It is on disk before this answers, and the next answer knows it."""
    caller.acts_for(body.user)
    request.state.user = body.user
    domain = service.further(body.domain)
    refuse_unknown(service.catalog_of(domain), "item", [body.item])
    event = Event(
        caller.tenant,
        body.user,
        body.item,
        body.kind,
        time.time(),
        body.session or "",
        idempotency_key or "",
        service.kept_as(domain)[0],
    )
    kept = await service.store.add_event(event)
    service.metrics.events.inc(kept)
    return JsonAnswer({"kept": kept})


@router.get("/v1/users/{user:path}/history", response_model=History)
async def history(
    user: PathId,
    request: Request,
    service: Parts,
    caller: Annotated[Caller, Depends(allowed("events"))],
    session: Annotated[Identity | None, Query(description="One session only.")] = None,
    domain: Domain = None,
) -> JsonAnswer:
    """What is kept of a user, the latest events, oldest first; of all catalogs or of one."""
    caller.acts_for(user)
    request.state.user = user
    last = service.config.limits.history
    names = None if domain is None else service.kept_as(service.further(domain))
    events = await service.store.history(caller.tenant, user, last, session, names)
    rows = [
        {
            "item": one.item,
            "kind": one.kind,
            "time": one.time,
            "session": one.session or None,
            "domain": one.domain or None,
        }
        for one in events
    ]
    return JsonAnswer({"user": user, "events": rows})


@router.delete("/v1/users/{user:path}", response_model=Erased)
async def erase(
    user: PathId,
    request: Request,
    service: Parts,
    caller: Annotated[Caller, Depends(allowed("admin"))],
    domain: Domain = None,
) -> JsonAnswer:
    """Forget a user, in all catalogs."""
    if domain is not None:
        message = "a user is forgotten in all catalogs: leave out 'domain'"
        raise ApiError(400, message, "unsupported", "domain")
    caller.acts_for(user)
    request.state.user = user
    return JsonAnswer({"events": await service.store.erase(caller.tenant, user)})

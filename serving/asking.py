"""From what a client asks to an answer: whose history, which filters, one query, one check."""

import asyncio
import logging
import time
from dataclasses import dataclass

from fastapi import Request

from rec_gen.decoding.sampling import Sampling
from rec_gen.index import Filters
from serving.access import Caller
from serving.batching import Timed
from serving.engine import Options, Query
from serving.errors import ApiError
from serving.schemas import Ask
from serving.service import Service
from serving.tracing import add_stages

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """An answer, and the history that it was given for."""

    timed: Timed
    history: tuple[str, ...]
    store_seconds: float

    @property
    def server_timing(self) -> str:
        """Where the time went, as the header `Server-Timing` says it, in milliseconds."""
        stages = {
            "store": self.store_seconds,
            "queue": self.timed.queue,
            "search": self.timed.search,
        }
        return ", ".join(f"{name};dur={1000 * spent:.1f}" for name, spent in stages.items())


async def ask(
    service: Service,
    request: Request,
    caller: Caller,
    body: Ask,
    *,
    words: str | None = None,
    adapter: str | None = None,
) -> Asked:
    """Have the engine answer.

    Raises:
        ApiError: The request is wrong, too much, or too late.
        RecGenError: The engine refuses it.
    """
    began = time.perf_counter()
    _check(service, body)
    history = await _history(service, request, caller, body)
    store_seconds = time.perf_counter() - began
    seen = history if body.exclude_seen else ()
    allow = None if body.allow is None else tuple(body.allow)
    query = Query(
        history if words is None else (),
        words,
        Filters((*seen, *body.block), allow, body.where),
        Options(body.k, _sampling(body), _cap(body)),
        adapter,
    )
    left = (body.deadline_ms or service.config.batching.deadline_ms) - round(1000 * store_seconds)
    timed = await _unless_left(request, service, query, max(1, left))
    _count(service, timed, store_seconds, time.perf_counter() - began)
    return Asked(timed, history, store_seconds)


def _check(service: Service, body: Ask) -> None:
    limits = service.config.limits
    if body.k > limits.k:
        raise ApiError(400, f"k is {body.k}: ask for at most {limits.k}", "k_too_large", "k")
    if body.history is not None and len(body.history) > limits.history:
        raise ApiError(
            400,
            f"history has {len(body.history)} items: give at most {limits.history}",
            "history_too_long",
            "history",
        )
    known = service.engine.catalog.positions
    for name in ("history", "allow", "block"):
        for item in getattr(body, name) or ():
            if item not in known:
                raise ApiError(422, f"item '{item}' is not in the catalog", "unknown_item", name)


async def _history(
    service: Service, request: Request, caller: Caller, body: Ask
) -> tuple[str, ...]:
    """What was given, or else what is kept of the user; kept items of other catalogs are unread."""
    user = body.user or (caller.user if body.history is None else None)
    if user is not None:
        caller.acts_for(user)
        request.state.user = user
    if body.history is not None:
        if body.session is not None:
            raise ApiError(400, "a session stands beside a history: give one", "both", "session")
        return tuple(body.history)
    if user is None:
        raise ApiError(400, "give a history, or a user whose history is kept", "missing", "history")
    last = service.config.limits.history
    events = await service.store.history(caller.tenant, user, last, body.session)
    known = service.engine.catalog.positions
    return tuple(event.item for event in events if event.item in known)


def _sampling(body: Ask) -> Sampling | None:
    if body.temperature == 0 or (body.temperature is None and body.seed is None):
        return None
    return Sampling(1.0 if body.temperature is None else body.temperature, body.seed or 0)


def _cap(body: Ask) -> tuple[str, int] | None:
    return None if body.max_per is None else (body.max_per.column, body.max_per.most)


async def _unless_left(request: Request, service: Service, query: Query, deadline_ms: int) -> Timed:
    """Wait for the answer as long as the client does."""
    answering = asyncio.create_task(service.batcher.submit(query, deadline_ms))
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ApiError(499, "the client left", "client_left")
        return answering.result()
    finally:
        for task in (answering, leaving):
            task.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _count(service: Service, timed: Timed, store: float, total: float) -> None:
    metrics, answer = service.metrics, timed.answer
    stages = {"store": store, "queue": timed.queue, "search": timed.search}
    add_stages(stages)
    for stage, seconds in (stages | {"total": total}).items():
        metrics.latency.labels(stage).observe(seconds)
    metrics.answers.inc()
    metrics.items.inc(len(answer))
    metrics.tokens.labels("prompt").inc(answer.prompt_tokens)
    metrics.tokens.labels("answer").inc(answer.answer_tokens)
    if invalid := service.catalog.invalid(answer):
        metrics.invalid.inc(invalid)
        logger.error("an answer held items that are not offered", extra={"fields": {"n": invalid}})
        raise ApiError(500, "the model left the catalog", "invalid_item")
    service.drift.observe(found.item.id for found in answer)

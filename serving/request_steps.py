"""The steps that all requests to the model take, before it is asked and after."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Request

from rec_gen.answers import Answer
from rec_gen.catalog import Item
from rec_gen.index import Filters
from rec_gen.replying import Reply
from serving.access import Caller
from serving.batching import Timed
from serving.errors import ApiError
from serving.schemas import AskBase
from serving.service import Service
from serving.tracing import add_stages

logger = logging.getLogger(__name__)
A = TypeVar("A", Answer, Reply)
M = TypeVar("M")


@dataclass(frozen=True)
class Asked(Generic[A]):
    """An answer, and the history that it was given for."""

    timed: Timed[A]
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


def refuse_more(service: Service, name: str, items: int) -> None:
    """Refuse a field that asks for more items than one may."""
    most = service.config.limits.k
    if items > most:
        raise ApiError(400, f"{name} is {items}: ask for at most {most}", f"{name}_too_large", name)


def check(service: Service, body: AskBase) -> None:
    """Refuse a history that is too long, and items that are not known."""
    limits = service.config.limits
    if body.history is not None and len(body.history) > limits.history:
        raise ApiError(
            400,
            f"history has {len(body.history)} items: give at most {limits.history}",
            "history_too_long",
            "history",
        )
    for name in ("history", "allow", "block"):
        refuse_unknown(service, name, getattr(body, name) or ())


def refuse_unknown(service: Service, name: str, items: Iterable[str]) -> None:
    """Refuse items of a field that are not in the catalog."""
    known = service.engine.catalog.positions
    for item in items:
        if item not in known:
            raise ApiError(422, f"item '{item}' is not in the catalog", "unknown_item", name)


async def read_history(
    service: Service, request: Request, caller: Caller, body: AskBase, *, needed: bool
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
    if user is None and not needed and body.session is None:
        return ()
    if user is None:
        raise ApiError(400, "give a history, or a user whose history is kept", "missing", "history")
    last = service.config.limits.history
    events = await service.store.history(caller.tenant, user, last, body.session)
    known = service.engine.catalog.positions
    return tuple(event.item for event in events if event.item in known)


def filters_of(body: AskBase, seen: Sequence[str] = ()) -> Filters:
    """What may be returned, without what was seen."""
    allow = None if body.allow is None else tuple(body.allow)
    return Filters((*seen, *body.block), allow, body.where)


def time_left(service: Service, body: AskBase, began: float) -> int:
    """Milliseconds until the answer is of no use any more, to a request that began at a time."""
    deadline_ms = body.deadline_ms or service.config.batching.deadline_ms
    return max(1, deadline_ms - round(1000 * (time.perf_counter() - began)))


def in_time(began: float, left_ms: int, messages: Iterable[M]) -> Iterator[M]:
    """Messages one by one, so that work on each of many ends with the deadline.

    Raises:
        ApiError: 504 where so many milliseconds have passed since a time.
    """
    for message in messages:
        if 1000 * (time.perf_counter() - began) > left_ms:
            raise ApiError(504, f"there was no answer within {left_ms} ms", "deadline_exceeded")
        yield message


async def unless_left(request: Request, submitted: Coroutine[Any, Any, Timed[A]]) -> Timed[A]:
    """Wait for the answer as long as the client does."""
    answering = asyncio.create_task(submitted)
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


def count(service: Service, asked: Asked[A], items: Sequence[Item], total: float) -> None:
    """Count an answer, and refuse it where it recommends what was not offered.

    Args:
        service: The server.
        asked: The answer.
        items: What it recommends.
        total: Seconds from the request to the answer.
    """
    metrics, timed = service.metrics, asked.timed
    answer = timed.answer
    stages = {"store": asked.store_seconds, "queue": timed.queue, "search": timed.search}
    add_stages(stages)
    for stage, seconds in (stages | {"total": total}).items():
        metrics.latency.labels(stage).observe(seconds)
    metrics.answers.inc()
    metrics.items.inc(len(items))
    metrics.tokens.labels("prompt").inc(answer.prompt_tokens)
    metrics.tokens.labels("answer").inc(answer.answer_tokens)
    if invalid := service.catalog.invalid(items, answer.version):
        metrics.invalid.inc(invalid)
        logger.error("an answer held items that are not offered", extra={"fields": {"n": invalid}})
        raise ApiError(500, "the model left the catalog", "invalid_item")
    service.drift.observe(item.id for item in items)

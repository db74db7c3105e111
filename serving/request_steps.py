"""The steps that all requests to the model take, before it is asked and after."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from fastapi import Request

from rec_gen.answers import Answer
from rec_gen.catalog import Catalog, Item
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
T = TypeVar("T")
M = TypeVar("M")


@dataclass(frozen=True)
class Asked(Generic[A]):
    """An answer, and the history that it was given for."""

    timed: Timed[A]
    history: tuple[str, ...]
    store_seconds: float

    def with_time_of(self, other: Timed[Any]) -> "Asked[A]":
        """The same answer, which another question to the model has held up."""
        queue, search = self.timed.queue + other.queue, self.timed.search + other.search
        return replace(self, timed=replace(self.timed, queue=queue, search=search))

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


def check(service: Service, body: AskBase, domain: str | None = None) -> None:
    """Refuse a history that is too long, and items that a catalog does not know."""
    catalog = service.catalog_of(domain)
    check_history(service, catalog, body.history or ())
    for name in ("allow", "block"):
        refuse_unknown(catalog, name, getattr(body, name) or ())


def check_history(
    service: Service, catalog: Catalog, history: Sequence[str], name: str = "history"
) -> None:
    """Refuse a history that is too long, and items that a catalog does not know.

    Args:
        service: The server.
        catalog: The catalog.
        history: Item ids, oldest first.
        name: The field.
    """
    most = service.config.limits.history
    if len(history) > most:
        message = f"{name} has {len(history)} items: give at most {most}"
        raise ApiError(400, message, "history_too_long", name)
    refuse_unknown(catalog, name, history)


def refuse_unknown(catalog: Catalog, name: str, items: Iterable[str]) -> None:
    """Refuse items of a field that are not in a catalog."""
    known = catalog.positions
    for item in items:
        if item not in known:
            raise ApiError(422, f"item '{item}' is not in the catalog", "unknown_item", name)


async def read_history(
    service: Service,
    request: Request,
    caller: Caller,
    body: AskBase,
    *,
    needed: bool,
    domain: str | None = None,
) -> tuple[str, ...]:
    """What was given, or else what is kept of the user in a catalog.

    Items that it does not know any more are left out.
    """
    user = user_of(request, caller, body.user, given=body.history is not None)
    if body.history is not None:
        if body.session is not None:
            raise ApiError(400, "a session stands beside a history: give one", "both", "session")
        return tuple(body.history)
    if user is None and not needed and body.session is None:
        return ()
    if user is None:
        raise ApiError(400, "give a history, or a user whose history is kept", "missing", "history")
    return await kept_history(service, caller, user, body.session, domain)


def user_of(request: Request, caller: Caller, user: str | None, *, given: bool) -> str | None:
    """The user that a request names, or else its key's own where no history is given."""
    user = user or (None if given else caller.user)
    if user is not None:
        caller.acts_for(user)
        request.state.user = user
    return user


async def kept_history(
    service: Service, caller: Caller, user: str, session: str | None, domain: str | None
) -> tuple[str, ...]:
    """What is kept of a user in a catalog, as far as it knows the items."""
    last, known = service.config.limits.history, service.catalog_of(domain).positions
    names = service.kept_as(domain)
    events = await service.store.history(caller.tenant, user, last, session, names)
    return tuple(event.item for event in events if event.item in known)


def filters_of(body: AskBase, seen: Sequence[str] = ()) -> Filters:
    """What may be returned, without what was seen."""
    allow = None if body.allow is None else tuple(body.allow)
    return Filters((*seen, *body.block), allow, body.where)


def time_left(service: Service, deadline_ms: int | None, began: float) -> int:
    """Milliseconds until the answer is of no use any more, to a request that began at a time."""
    most = service.config.batching.deadline_ms
    deadline_ms = min(deadline_ms or most, most)
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


async def unless_left(request: Request, submitted: Coroutine[Any, Any, Timed[T]]) -> Timed[T]:
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


def count(service: Service, asked: Asked[A], total: float) -> None:
    """Count an answer, and the seconds from the request to it."""
    metrics, timed = service.metrics, asked.timed
    answer = timed.answer
    stages = {"store": asked.store_seconds, "queue": timed.queue, "search": timed.search}
    add_stages(stages)
    for stage, seconds in (stages | {"total": total}).items():
        metrics.latency.labels(stage).observe(seconds)
    metrics.answers.inc()
    metrics.tokens.labels("prompt").inc(answer.prompt_tokens)
    metrics.tokens.labels("answer").inc(answer.answer_tokens)


def count_items(
    service: Service, items: Sequence[Item], version: int, domain: str | None = None
) -> None:
    """Count what an answer recommends, and refuse it where that was not offered.

    Args:
        service: The server.
        items: What it recommends.
        version: The version of the catalog that it is of.
        domain: The catalog.
    """
    metrics = service.metrics
    metrics.items.inc(len(items))
    if domain is None:
        invalid = service.catalog.invalid(items, version)
    else:
        known = service.catalog_of(domain).positions
        invalid = sum(item.id not in known for item in items)
    if invalid:
        metrics.invalid.inc(invalid)
        logger.error("an answer held items that are not offered", extra={"fields": {"n": invalid}})
        raise ApiError(500, "the model left the catalog", "invalid_item")
    if domain is None:
        service.drift.observe(item.id for item in items)

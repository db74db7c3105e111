"""One list of several catalogs: its domains are asked one after the other."""

import asyncio
import time
from dataclasses import dataclass

from fastapi import Request

from rec_gen.answers import Answer
from rec_gen.errors import NoEligibleItemError
from rec_gen.index import Filters
from rec_gen.quotas import Part, Placed, interleave, shortage
from serving.access import Caller
from serving.batching import Timed
from serving.errors import ApiError
from serving.queries import Options, Query
from serving.request_steps import (
    Asked,
    check_history,
    count,
    count_items,
    kept_history,
    refuse_more,
    time_left,
    unless_left,
    user_of,
)
from serving.schemas import MixedRequest
from serving.service import Service


@dataclass(frozen=True)
class Mixed:
    """A list of several catalogs.

    Attributes:
        placed: Its items, in their order.
        asked: All of it as one answer.
    """

    placed: list[Placed]
    asked: Asked[Answer]


async def ask_mixed(
    service: Service, request: Request, caller: Caller, body: MixedRequest
) -> Mixed:
    """Have the engine answer with so many items of each catalog as the quota says.

    Raises:
        ApiError: The request is wrong, too much, or too late.
        RecGenError: The engine refuses it, or a catalog has fewer items left.
    """
    began = time.perf_counter()
    if len(service.engine.domains) == 1:
        raise ApiError(400, "the model has one catalog: there is nothing to mix", "unsupported")
    for name in body.quota:
        service.further(name, "quota")
    refuse_more(service, "quota", sum(body.quota.values()))
    histories = await _histories(service, request, caller, body)
    store_seconds = time.perf_counter() - began
    found: dict[str, Timed[Answer]] = {}
    shared = await asyncio.to_thread(service.sharing.among, service.engine.domains)
    for name in body.quota:
        chosen = {domain: timed.answer for domain, timed in found.items()}
        part = Part.of(name, histories, chosen, shared, exclude_seen=body.exclude_seen)
        left = time_left(service, body.deadline_ms, began)
        query = _query(service, name, body, part)
        try:
            found[name] = await unless_left(request, service.batcher.submit(query, left))
            short = shortage(name, body.quota, len(found[name].answer))
        except NoEligibleItemError:
            short = shortage(name, body.quota, 0)
        if short:
            raise ApiError(422, short, "quota_too_large", "quota")
    mixed = [Placed(*entry) for entry in interleave({n: one.answer for n, one in found.items()})]
    asked = Asked(_joined(mixed, found), (), store_seconds)
    count(service, asked, time.perf_counter() - began)
    for name, timed in found.items():
        items = [one.item for one in timed.answer]
        count_items(service, items, timed.answer.version, service.further(name))
    return Mixed(mixed, asked)


async def _histories(
    service: Service, request: Request, caller: Caller, body: MixedRequest
) -> dict[str, tuple[str, ...]]:
    """What was given, or else what is kept of the user, by the name of each catalog."""
    user = user_of(request, caller, body.user, given=body.histories is not None)
    if body.histories is not None:
        if body.session is not None:
            raise ApiError(400, "a session stands beside histories: give one", "both", "session")
        for name, history in body.histories.items():
            catalog = service.catalog_of(service.further(name, "histories"))
            check_history(service, catalog, history, f"histories.{name}")
        return {name: tuple(history) for name, history in body.histories.items()}
    if user is None:
        message = "give histories, or a user whose histories are kept"
        raise ApiError(400, message, "missing", "histories")
    names = tuple(service.engine.domains)
    kept = [
        kept_history(service, caller, user, body.session, service.further(name)) for name in names
    ]
    return dict(zip(names, await asyncio.gather(*kept), strict=True))


def _query(service: Service, name: str, body: MixedRequest, part: Part) -> Query:
    seen = part.history if body.exclude_seen else ()
    return Query(
        tuple(part.history),
        filters=Filters((*seen, *part.block)),
        options=Options(body.quota[name]),
        domain=service.further(name),
    )


def _joined(mixed: list[Placed], found: dict[str, Timed[Answer]]) -> Timed[Answer]:
    """The parts of a list as one answer, to be counted and shown."""
    parts = [timed.answer for timed in found.values()]
    answer = Answer(
        tuple(placed.recommendation for placed in mixed),
        all(part.certified for part in parts),
        version=0,  # each part has its own
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        answer_tokens=sum(part.answer_tokens for part in parts),
    )
    queue = sum(timed.queue for timed in found.values())
    return Timed(answer, queue, sum(timed.search for timed in found.values()))

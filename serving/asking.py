"""From what a client asks to an answer: whose history, which filters, one query, one check."""

import asyncio
import time
from collections.abc import Sequence

from fastapi import Request

from rec_gen.answers import Answer
from rec_gen.decoding.sampling import Sampling
from rec_gen.replying import Reply
from rec_gen.text import clean_text
from serving.access import Caller
from serving.dialogues import Message, masked_words, turns_of
from serving.errors import ApiError
from serving.queries import Options, Query, ReplyOptions, ReplyQuery
from serving.reply_schemas import ReplyFields
from serving.request_steps import (
    Asked,
    check,
    count,
    count_items,
    filters_of,
    in_time,
    read_history,
    refuse_more,
    refuse_unknown,
    time_left,
    unless_left,
)
from serving.schemas import Ask, AskBase
from serving.service import Service


async def ask(
    service: Service,
    request: Request,
    caller: Caller,
    body: Ask,
    *,
    words: str | None = None,
    adapter: str | None = None,
    exposure: float = 0.0,
) -> Asked[Answer]:
    """Have the engine answer with a list of a catalog.

    Raises:
        ApiError: The request is wrong, too much, or too late.
        RecGenError: The engine refuses it.
    """
    began = time.perf_counter()
    domain = service.further(body.domain)
    refuse_more(service, "k", body.k)
    check(service, body, domain)
    history = await read_history(
        service, request, caller, body, needed=words is None, domain=domain
    )
    store_seconds = time.perf_counter() - began
    seen = history if body.exclude_seen else ()
    if words is not None:
        words = await asyncio.to_thread(masked_words, service.engine.names, words, service.masker)
    query = Query(
        history if words is None else (),
        words,
        filters_of(body, seen),
        Options(body.k, _sampling(body), _cap(body), exposure),
        adapter,
        domain,
    )
    left = time_left(service, body.deadline_ms, began)
    timed = await unless_left(request, service.batcher.submit(query, left))
    asked = Asked(timed, history, store_seconds)
    count(service, asked, time.perf_counter() - began)
    items = [found.item for found in timed.answer]
    count_items(service, items, timed.answer.version, domain)
    return asked


async def ask_reply(
    service: Service,
    request: Request,
    caller: Caller,
    body: AskBase,
    fields: ReplyFields,
    messages: Sequence[Message],
    *,
    adapter: str | None = None,
) -> Asked[Reply]:
    """Have the engine reply to a dialogue.

    Raises:
        ApiError: The request is wrong, too much, or too late, or the model cannot reply.
        RecGenError: The engine refuses it.
    """
    began = time.perf_counter()
    if "reply" not in service.engine.tasks:
        raise ApiError(400, "the model has not learnt to reply", "unsupported")
    refuse_more(service, "items", fields.items)
    limit = service.config.limits.reply_tokens
    if fields.max_tokens > limit:
        message = f"max_tokens is {fields.max_tokens}: ask for at most {limit}"
        raise ApiError(400, message, "too_many_tokens", "max_tokens")
    check(service, body)
    catalog = service.catalog_of(None)
    refuse_unknown(catalog, "messages", (item for one in messages for item in one.items or ()))
    if messages[-1].role != "user" or not clean_text(messages[-1].text):
        message = "the last message must be the user's, and have a text"
        raise ApiError(400, message, "missing", "messages")
    history = await read_history(service, request, caller, body, needed=False)
    store_seconds = time.perf_counter() - began
    left = time_left(service, body.deadline_ms, began)
    due = in_time(time.perf_counter(), left, messages)
    query = ReplyQuery(
        await asyncio.to_thread(turns_of, service.engine.names, due, service.masker),
        history,
        tuple(fields.ignore),
        filters_of(body),
        ReplyOptions(fields.items, fields.max_tokens, body.temperature or 0.0, body.seed or 0),
        adapter,
    )
    left = time_left(service, body.deadline_ms, began)
    timed = await unless_left(request, service.batcher.submit(query, left))
    asked = Asked(timed, history, store_seconds)
    # where no model was asked, the user's own items are compared or explained, removed ones too
    recommended = timed.answer.items if timed.answer.prompt_tokens else ()
    count(service, asked, time.perf_counter() - began)
    count_items(service, [one.item for one in recommended], timed.answer.version)
    return asked


def _sampling(body: Ask) -> Sampling | None:
    if body.temperature == 0 or (body.temperature is None and body.seed is None):
        return None
    return Sampling(1.0 if body.temperature is None else body.temperature, body.seed or 0)


def _cap(body: Ask) -> tuple[str, int] | None:
    return None if body.max_per is None else (body.max_per.column, body.max_per.most)

"""OpenAI's API: `POST /v1/chat/completions` and `GET /v1/models`."""

import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse

from rec_gen.text import clean_text
from serving.access import Caller, allowed
from serving.asking import ask
from serving.chat_schemas import ChatCompletion, ChatRequest, Models
from serving.errors import ApiError
from serving.responses import JsonAnswer, dump, items_json, usage_json
from serving.routes.common import ERRORS, Parts

router = APIRouter(tags=["openai"], responses=ERRORS)
STARTED = int(time.time())


@router.get("/v1/models", response_model=Models, dependencies=[Depends(allowed("recommend"))])
async def models(service: Parts) -> JsonAnswer:
    """The models that a request may name."""
    rows = [
        {"id": name, "object": "model", "created": STARTED, "owned_by": "rec_gen"}
        for name in service.engine.models
    ]
    return JsonAnswer({"object": "list", "data": rows})


@router.post(
    "/v1/chat/completions",
    response_model=ChatCompletion,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def complete(
    body: ChatRequest,
    request: Request,
    service: Parts,
    caller: Annotated[Caller, Depends(allowed("recommend"))],
) -> Response:
    """Answer a chat with items of the catalog, a title a line.

    Where the model has learnt to search, the last message of the user is taken as a request in
    words. Elsewhere the answer follows the history, which `history` or `user` tells.
    """
    if body.model not in service.engine.models:
        raise ApiError(404, f"there is no model '{body.model}'", "model_not_found", "model")
    words = None
    if "search" in service.engine.tasks:
        words = body.words
        if not clean_text(words):
            raise ApiError(400, "no message of the user has a text", "missing", "messages")
        if body.history is None and body.user is None and caller.user is None:
            body = body.model_copy(update={"history": []})
    asked = await ask(service, request, caller, body, words=words, adapter=body.model)
    answer = asked.timed.answer
    items, usage = items_json(answer), usage_json(answer)
    head = {
        "id": f"chatcmpl-{request.state.request_id}",
        "created": int(time.time()),
        "model": body.model,
    }
    headers = {"Server-Timing": asked.server_timing}
    if body.stream:
        told = usage if body.stream_options and body.stream_options.include_usage else None
        chunks = _chunks(head, items, told)
        return StreamingResponse(chunks, media_type="text/event-stream", headers=headers)
    message = {"role": "assistant", "content": "\n".join(item["title"] for item in items)}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    content = {
        **head, "object": "chat.completion", "choices": [choice], "usage": usage, "items": items,
    }  # fmt: skip
    return JsonAnswer(content, headers=headers)


async def _chunks(
    head: dict[str, Any], items: list[dict[str, Any]], usage: dict[str, int] | None
) -> AsyncIterator[bytes]:
    """The server-sent events of a stream: a role, a chunk an item, the end, the usage."""

    def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _event({**head, "object": "chat.completion.chunk", "choices": [choice], **more})

    yield event({"role": "assistant", "content": ""})
    for place, item in enumerate(items):
        line = item["title"] if place == 0 else f"\n{item['title']}"
        yield event({"content": line}, items=[item])
    yield event({}, "stop")
    if usage is not None:
        yield _event({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + dump(content) + b"\n\n"

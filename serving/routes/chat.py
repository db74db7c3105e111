"""OpenAI's API: `POST /v1/chat/completions` and `GET /v1/models`."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse

from rec_gen.answers import Answer
from rec_gen.replying import Reply
from rec_gen.text import clean_text
from serving.access import Caller, allowed
from serving.asking import ask, ask_reply
from serving.chat_schemas import ChatCompletion, ChatRequest, Models
from serving.errors import ApiError
from serving.responses import JsonAnswer, dump, items_json, reply_json, usage_json
from serving.routes.common import ERRORS, Parts
from serving.service import Service

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
    """Answer a chat with items of the catalog.

    Where the model has learnt to reply, the answer is a text that names items. Else it is a list, a
    title a line: where the model has learnt to search, for the last message of the user, and
    elsewhere after the history, which `history` or `user` tells.
    """
    if body.model not in service.engine.models:
        raise ApiError(404, f"there is no model '{body.model}'", "model_not_found", "model")
    answer, timing = await _answer(body, request, service, caller)
    head = {
        "id": f"chatcmpl-{request.state.request_id}",
        "created": int(time.time()),
        "model": body.model,
    }
    headers = {"Server-Timing": timing}
    if body.stream:
        told = body.stream_options is not None and body.stream_options.include_usage
        chunks = _chunks(head, answer, with_usage=told)
        return StreamingResponse(chunks, media_type="text/event-stream", headers=headers)
    message = {"role": "assistant", "content": answer.text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    content = {
        **head, "object": "chat.completion", "choices": [choice], "usage": answer.usage,
        "items": answer.items, **answer.more,
    }  # fmt: skip
    return JsonAnswer(content, headers=headers)


async def _answer(
    body: ChatRequest, request: Request, service: Service, caller: Caller
) -> tuple["_Answer", str]:
    """What is said, and where the time went."""
    tasks = service.engine.tasks
    if "reply" in tasks:
        fields = body.model_copy(
            update={"max_tokens": body.max_completion_tokens or body.max_tokens}
        )
        replied = await ask_reply(
            service, request, caller, body, fields, body.messages, adapter=body.model
        )
        return _Answer.of_reply(replied.timed.answer), replied.server_timing
    words = body.words if "search" in tasks else None
    if words is not None and not clean_text(words):
        raise ApiError(400, "no message of the user has a text", "missing", "messages")
    asked = await ask(service, request, caller, body, words=words, adapter=body.model)
    return _Answer.of_list(asked.timed.answer), asked.server_timing


@dataclass(frozen=True)
class _Answer:
    """What a chat is answered with.

    Attributes:
        pieces: The text in pieces, each with the item that it ends with, if any.
        usage: The tokens.
        more: What stands beside text, items and usage.
    """

    pieces: list[tuple[str, dict[str, Any] | None]]
    usage: dict[str, int]
    more: dict[str, Any]

    @classmethod
    def of_list(cls, answer: Answer) -> "_Answer":
        """A title a line."""
        items = items_json(answer)
        lines = [("\n" if place else "") + item["title"] for place, item in enumerate(items)]
        return cls(list(zip(lines, items, strict=True)), usage_json(answer), {})

    @classmethod
    def of_reply(cls, reply: Reply) -> "_Answer":
        """A text that is cut where a title ends."""
        told = reply_json(reply)
        pieces, start = [], 0
        for item in told["items"]:
            pieces.append((told["text"][start : item["stop"]], item))
            start = item["stop"]
        pieces.append((told["text"][start:], None))
        return cls(pieces, usage_json(reply), {"understood": told["understood"]})

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.pieces)

    @property
    def items(self) -> list[dict[str, Any]]:
        return [item for _, item in self.pieces if item is not None]


async def _chunks(
    head: dict[str, Any], answer: _Answer, *, with_usage: bool
) -> AsyncIterator[bytes]:
    """The server-sent events of a stream: a role, a chunk an item, the end, the usage."""

    def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _event({**head, "object": "chat.completion.chunk", "choices": [choice], **more})

    yield event({"role": "assistant", "content": ""})
    for text, item in answer.pieces:
        named = {} if item is None else {"items": [item]}
        yield event({"content": text}, None, **named)
    yield event({}, "stop", **answer.more)
    if with_usage:
        usage = {"choices": [], "usage": answer.usage}
        yield _event({**head, "object": "chat.completion.chunk", **usage})
    yield b"data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + dump(content) + b"\n\n"

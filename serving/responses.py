"""JSON answers."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime, time
from typing import Any

from starlette.responses import Response

from rec_gen.answers import Answer
from rec_gen.catalog import Item
from rec_gen.errors import RecGenError
from rec_gen.replying import Reply
from rec_gen.text import clean_text
from serving.errors import ApiError, as_api_error


class JsonAnswer(Response):
    """An answer in JSON, written once and not validated again."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes."""
        return dump(content)


def dump(content: Any) -> bytes:
    """JSON in UTF-8; what cannot be written in it becomes a question mark."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def error_response(error: ApiError | RecGenError) -> JsonAnswer:
    """The answer that an error is."""
    if isinstance(error, RecGenError):
        error = as_api_error(error)
    return JsonAnswer(error.body(), error.status, error.headers)


def item_json(item: Item) -> dict[str, Any]:
    """An item as clients see it; its title is one line without control characters."""
    return {"id": item.id, "title": clean_text(item.title), "fields": plain(item.fields)}


def items_json(answer: Answer) -> list[dict[str, Any]]:
    """The items of an answer, best first."""
    return [{**item_json(found.item), "score": found.score} for found in answer]


def reply_json(reply: Reply) -> dict[str, Any]:
    """A reply as `serving.reply_schemas.ReplyContent` describes it."""
    items = [
        {**item_json(one.item), "score": one.score, "start": one.start, "stop": one.stop}
        for one in reply.items
    ]
    understood = [{**asdict(wish), "block": list(wish.block)} for wish in reply.understood]
    return {"text": reply.text, "items": items, "understood": understood}


def usage_json(answer: Answer | Reply) -> dict[str, int]:
    """The tokens of an answer."""
    read, written = answer.prompt_tokens, answer.answer_tokens
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }


def plain(value: Any) -> Any:
    """A value of a catalog's column as JSON can hold it; what it cannot hold becomes null."""
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, bytes) else str(value)

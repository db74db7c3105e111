"""What goes wrong, as HTTP tells it: one shape, that of OpenAI's API."""

import re
from collections.abc import Mapping

from rec_gen.errors import (
    BundleError,
    DataError,
    DecodingError,
    ModelError,
    NoEligibleItemError,
    PromptError,
    RecGenError,
    RuleError,
    SpellingError,
)

KINDS = {
    401: "authentication_error", 403: "permission_error", 429: "rate_limit_error",
    500: "server_error", 503: "server_error", 504: "server_error",
}  # fmt: skip


class ApiError(Exception):
    """An answer that is an error.

    Attributes:
        status: The HTTP status.
        message: What is wrong and how to mend it, for people.
        code: What is wrong, for programs.
        param: The field that is wrong.
        headers: Headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, dict[str, str | None]]:
        """The JSON of the answer."""
        return {
            "error": {
                "message": self.message.encode("utf-8", "replace").decode(),
                "type": KINDS.get(self.status, "invalid_request_error"),
                "param": self.param,
                "code": self.code,
            }
        }


class StoreError(RecGenError):
    """The store cannot be reached, or cannot keep anything at the moment."""


class ConflictError(RecGenError):
    """What a client says now differs from what it said before under the same key."""


class EngineDownError(ApiError):
    """What runs the model has ended, and is started again."""

    def __init__(self, seconds: float = 1) -> None:
        message, headers = "the model is started again: try again", _retry_after(seconds)
        super().__init__(503, message, "engine_down", headers=headers)


def unavailable(message: str, code: str, seconds: float = 1) -> ApiError:
    """The server cannot answer now and may later."""
    return ApiError(503, message, code, headers=_retry_after(seconds))


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, round(seconds)))}


_KNOWN: tuple[tuple[type[RecGenError], int, str, str | None], ...] = (
    (NoEligibleItemError, 422, "no_eligible_item", None),
    (RuleError, 400, "invalid_rule", "where"),
    (ConflictError, 409, "conflict", None),
    (SpellingError, 422, "unspellable_item", "items"),
    (DataError, 422, "invalid_data", None),
    (DecodingError, 400, "invalid_option", None),
    (PromptError, 422, "unrenderable_prompt", None),
    (BundleError, 400, "unsupported", None),
)


def message_of(error: RecGenError) -> str:
    """What a client is told of an error of its one request."""
    return re.sub(r"^request 0: ", "", str(error))


def as_api_error(error: RecGenError) -> ApiError:
    """What a client is told of an error; what it cannot mend is told without details."""
    if isinstance(error, StoreError):
        return unavailable("the store cannot be used at the moment: try again", "store_unavailable")
    if isinstance(error, ModelError):
        return ApiError(500, "the model failed", "model_error")
    message = message_of(error)
    for kind, status, code, param in _KNOWN:
        if isinstance(error, kind):
            named = re.match(r"(max_per|where)\b", message)
            return ApiError(status, message, code, named.group(1) if named else param)
    return ApiError(500, "the server failed", "server_error")

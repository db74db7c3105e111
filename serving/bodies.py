"""Bodies are read whole, within limits, before anything parses them."""

import asyncio
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.config import LimitsConfig
from serving.errors import ApiError
from serving.responses import error_response

_STRINGS_OR_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


class Bodies:
    """Refuses bodies that are too large, too slow or too deep."""

    def __init__(self, app: ASGIApp, limits: LimitsConfig) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(Headers(scope=scope), receive)
        except ApiError as error:
            await error_response(error)(scope, receive, send)
            return
        if body is None:
            return
        given = False

        async def receive_again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_again, send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        """The body; None where the client left."""
        most = self._limits.body_bytes
        length = headers.get("content-length", "0")
        too_large = ApiError(
            413, f"the body is larger than {most} bytes", "body_too_large",
            headers={"Connection": "close"},
        )  # fmt: skip
        if not length.isdecimal() or int(length[:20]) > most:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_large
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise ApiError(
                408, f"the body took longer than {self._limits.body_seconds:g} s", "body_too_slow",
                headers={"Connection": "close"},
            ) from None  # fmt: skip
        if depth(body, self._limits.depth) > self._limits.depth:
            raise ApiError(
                400, f"the body is nested deeper than {self._limits.depth}", "body_too_deep"
            )
        return bytes(body)


def depth(body: bytes | bytearray, enough: int) -> int:
    """How deep the brackets of a JSON text are nested; more than `enough` is not counted on."""
    if body.count(b"[") + body.count(b"{") <= enough:
        return 0
    deepest = level = 0
    for match in _STRINGS_OR_BRACKETS.finditer(body):
        first = match.group()[:1]
        if first in b"[{":
            level += 1
            deepest = max(deepest, level)
            if deepest > enough:
                break
        elif first in b"]}":
            level -= 1
    return deepest

"""A client of the server that costs little beside it, and the check of what is answered."""

import asyncio
import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httptools

ASK = "/v1/recommendations"
TIMEOUT = 60.0
"""Seconds that one answer may take."""
Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        status: The HTTP status.
        headers: The headers, their names in lower case.
        body: The body.
        sent: When the request was written, by `time.monotonic`, which all processes share.
        ended: When the last byte of the answer was read.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    sent: float
    ended: float

    @property
    def items(self) -> list[str]:
        """The ids of recommended items, best first."""
        return [item["id"] for item in json.loads(self.body)["items"]]


def raw_request(
    method: str, path: str, content: Any = None, headers: Sequence[Header] = ()
) -> bytes:
    """The bytes of a request; what the headers do not tell of host, type and length is added.

    Args:
        method: The method.
        path: The path, with a query.
        content: The body as bytes, or what it says in JSON, or None.
        headers: Headers.
    """
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    if content is None:
        body = b""
    given = {name.lower() for name, _ in headers}
    usual: list[Header] = [(b"Host", b"localhost")]
    if content is not None:
        usual.append((b"Content-Type", b"application/json"))
    if b"transfer-encoding" not in given:
        usual.append((b"Content-Length", b"%d" % len(body)))
    added = [(name, value) for name, value in usual if name.lower() not in given]
    lines = b"".join(b"%b: %b\r\n" % header for header in (*added, *headers))
    return f"{method} {path} HTTP/1.1\r\n".encode() + lines + b"\r\n" + body


class UnreachableError(OSError):
    """No connection was made, so that nothing was sent."""


class Connection:
    """A connection that is kept open, and made again where it was closed; one request at a time."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._wire: _Wire | None = None

    async def request(
        self, method: str, path: str, content: Any = None, headers: Sequence[Header] = ()
    ) -> Reply:
        """Ask, with JSON as the body unless it is bytes.

        Raises:
            UnreachableError: No connection was made.
            OSError: It ended before the answer did, or the answer took more than `TIMEOUT`.
        """
        return await self.send(raw_request(method, path, content, headers))

    async def send(self, raw: bytes, *, last: bool = False) -> Reply:
        """Write bytes as they are and wait for an answer.

        Args:
            raw: The bytes.
            last: Say that no more will come.

        Raises:
            UnreachableError: No connection was made.
            OSError: It ended before the answer did, or the answer took more than `TIMEOUT`.
        """
        wire = self._wire
        if wire is None or wire.closed:
            loop = asyncio.get_running_loop()
            try:
                _, wire = await loop.create_connection(_Wire, self._host, self._port)
            except OSError as error:
                raise UnreachableError(str(error)) from error
            self._wire = wire
        try:
            async with asyncio.timeout(TIMEOUT):
                reply = await wire.exchange(raw, last=last)
        except BaseException:
            wire.close()
            raise
        if last:  # nothing more can be written to it
            wire.close()
        return reply

    def close(self) -> None:
        """Leave."""
        if self._wire is not None:
            self._wire.close()


class _Wire(asyncio.Protocol):
    """One connection; the loop and the parser call it."""

    def __init__(self) -> None:
        self.closed = False
        self._reply: asyncio.Future[Reply] | None = None

    async def exchange(self, raw: bytes, *, last: bool) -> Reply:
        """Write, and wait for the answer."""
        self._reply = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._sent = time.monotonic()
        self._transport.write(raw)
        if last:
            self._transport.write_eof()
        return await self._reply

    def close(self) -> None:
        self.closed = True
        self._transport.close()

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._fail("the connection ended before the answer")

    def data_received(self, data: bytes) -> None:
        if self._reply is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"what was answered is no HTTP: {error}")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status, now = self._parser.get_status_code(), time.monotonic()
        if not self._parser.should_keep_alive():
            self.close()
        if self._reply is not None and not self._reply.done():
            reply = Reply(status, self._headers, bytes(self._body), self._sent, now)
            self._reply.set_result(reply)

    def _fail(self, reason: str) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionResetError(reason))


def invalid_items(
    items: Sequence[str], k: int, known: Collection[str], seen: Collection[str]
) -> int:
    """How many of `k` different items that are known and were not seen an answer lacks.

    What it holds beyond `k` counts as well.
    """
    good = {item for item in items if item in known and item not in seen}
    return max(k, len(items)) - min(k, len(good))

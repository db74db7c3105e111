"""Who asks: API keys, scopes, tenants, and how often one may ask."""

import math
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request, Security
from fastapi.security import HTTPBearer
from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from rec_gen.errors import ConfigError
from serving.errors import ApiError, unavailable
from serving.keys import SCOPES, KeyFile
from serving.keys import Scope as KeyScope
from serving.page_files import FILES
from serving.responses import error_response
from serving.service import Service

OPEN = frozenset({"/healthz", "/readyz", "/openapi.json", *FILES})
"""Paths that need no key."""
STEP_SECONDS = 60.0
"""How far the clock may be set before rates are counted anew."""
LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?")


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        key: The id of the key.
        tenant: Whose histories are read and written.
        scopes: What is allowed.
        user: The only user that may be acted for; None for all.
    """

    key: str
    tenant: str
    scopes: frozenset[str]
    user: str | None = None

    def acts_for(self, user: str) -> None:
        """Refuse another user than the key's own.

        Raises:
            ApiError: It is another one.
        """
        if self.user is not None and self.user != user:
            raise ApiError(403, "this key is of another user", "wrong_user", "user")


ANYBODY = Caller("none", "default", frozenset(SCOPES))
"""Who asks where no keys are asked for."""


class Access:
    """Lets in who has a key that holds, and not more often than is allowed."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        limits = service.config.limits
        self._rates, self._failures = parse_many(limits.rate), parse_many(limits.failures)
        self._storage = MemoryStorage()
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)
        self._offset = time.time() - time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._caller(scope)
            await self._count(self._rates, "key", caller.key, "too many requests")
        except ApiError as error:
            await error_response(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller:
        headers = Headers(scope=scope)
        keys = self._service.keys
        if keys is None:
            loopback = LOOPBACK.fullmatch(headers.get("host", ""))
            if not self._service.config.insecure and not loopback:
                # a page of another site can point its own name at this machine
                raise ApiError(403, "the Host is not this machine", "wrong_host")
            return ANYBODY
        try:
            return _known(headers, keys)
        except ConfigError:
            raise unavailable("the keys cannot be read", "keys_unavailable") from None
        except ApiError:
            address = (scope.get("client") or ("unknown",))[0]
            await self._count(self._failures, "address", address, "too many wrong keys")
            raise

    async def _count(self, limits: list[RateLimitItem], kind: str, who: str, message: str) -> None:
        await self._follow_clock()
        for limit in limits:
            if not await self._limiter.hit(limit, kind, who):
                window = await self._limiter.get_window_stats(limit, kind, who)
                seconds = math.ceil(window.reset_time - time.time())
                wait = {"Retry-After": str(min(max(1, seconds), limit.get_expiry()))}
                raise ApiError(429, f"{message}: at most {limit}", "rate_limited", headers=wait)

    async def _follow_clock(self) -> None:
        """Forget the counts once the wall clock, by which they are kept, was set.

        Else a clock that was set back would meet windows that are full already.
        """
        offset = time.time() - time.monotonic()
        if abs(offset - self._offset) > STEP_SECONDS:
            self._offset = offset
            await self._storage.reset()


def _known(headers: Headers, keys: KeyFile) -> Caller:
    given = headers.getlist("authorization")
    scheme, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    key = keys.find(secret) if scheme.lower() == "bearer" else None
    if key is None:
        raise ApiError(
            401,
            "give an API key that holds: Authorization: Bearer KEY",
            "invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return Caller(key.id, key.tenant, frozenset(key.scopes), key.user)


_bearer = HTTPBearer(auto_error=False, description="An API key of `recgen keys create`.")


def allowed(scope: KeyScope) -> Callable[..., Awaitable[Caller]]:
    """What a route depends on: its caller, who must have a scope."""

    async def caller(request: Request, _: object = Security(_bearer)) -> Caller:
        who: Caller = request.state.caller
        if scope not in who.scopes:
            raise ApiError(403, f"this key lacks the scope '{scope}'", "missing_scope")
        return who

    return caller

"""What is seen of each request: its id, a line in the log, counts, and headers of safety."""

import logging
import re
import secrets
import time

from opentelemetry.trace import Span
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import ApiError
from serving.logs import hashed
from serving.responses import error_response
from serving.service import Service
from serving.tracing import request_span

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_TLS = {"Strict-Transport-Security": "max-age=31536000"}
logger = logging.getLogger(__name__)


class Observing:
    """Wraps every request; what nobody expected becomes a 500 without details."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._headers = _SAFE | (_TLS if service.config.tls else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        identity = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        state = scope.setdefault("state", {})
        state["request_id"] = identity
        status = 499  # the client left before an answer began

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = MutableHeaders(scope=message)
                answered["X-Request-ID"] = identity
                for name, value in self._headers.items():
                    answered.setdefault(name, value)
                if self._service.draining:  # so that no client asks where nobody listens any more
                    answered["Connection"] = "close"
            await send(message)

        with request_span(scope["method"], headers) as span:
            try:
                await self._app(scope, receive, send_on)
            except Exception:
                logger.exception("the request failed", extra={"fields": {"request_id": identity}})
                if status != 499:
                    raise
                error = ApiError(500, "the server failed", "server_error")
                await error_response(error)(scope, receive, send_on)
            finally:
                self._note(scope, status, time.perf_counter() - began, span)

    def _note(self, scope: Scope, status: int, seconds: float, span: Span) -> None:
        route = getattr(scope.get("route"), "path_format", "unmatched")
        method = scope["method"] if route != "unmatched" else "any"
        self._service.metrics.requests.labels(route, method, str(status)).inc()
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        state = scope["state"]
        caller, user = state.get("caller"), state.get("user")
        fields = {
            "request_id": state["request_id"],
            "route": route,
            "method": method,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "key": getattr(caller, "key", None),
            "tenant": getattr(caller, "tenant", None),
            "user": None if user is None else hashed(user),
        }
        logger.info("request", extra={"fields": fields})

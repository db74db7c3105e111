"""Refuses requests for the model while its queue is full, before anything else is done for them."""

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.errors import ApiError
from serving.responses import error_response
from serving.service import Service

ASKING = frozenset(
    {"/v1/recommendations", "/v1/recommendations/mixed", "/v1/replies", "/v1/chat/completions"}
)


class Shedding:
    """A refusal costs little, so that overload does not slow down what is answered."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and scope["path"] in ASKING:
            try:
                self._service.batcher.refuse_overload()
            except ApiError as error:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

"""The ASGI application."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from rec_gen import __version__
from rec_gen.errors import RecGenError
from serving.access import Access
from serving.bodies import Bodies
from serving.errors import ApiError, StoreError
from serving.observing import Observing
from serving.responses import JsonAnswer, error_response
from serving.routes import (
    chat,
    health,
    info,
    items,
    mixed,
    page,
    recommendations,
    replies,
    tools,
    users,
)
from serving.service import Service
from serving.shedding import Shedding

logger = logging.getLogger(__name__)


def create_app(service: Service) -> FastAPI:
    """The application over the parts of a server."""
    config = service.config
    middleware = [
        Middleware(Observing, service=service),
        Middleware(Shedding, service=service),
        Middleware(Access, service=service),
        Middleware(Bodies, limits=config.limits),
    ]
    if config.cors_origins:  # before the keys, as a browser asks first and sends none
        cors = Middleware(
            CORSMiddleware,
            allow_origins=config.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After", "Server-Timing"],
        )
        middleware.insert(1, cors)
    app = FastAPI(
        title="rec_gen",
        description="Recommendations written by a language model; each is an item of the catalog.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        middleware=middleware,
        exception_handlers={
            ApiError: _refuse,
            RecGenError: _refuse,
            RequestValidationError: _refuse_field,
            HTTPException: _refuse_path,
        },
    )
    app.state.service = service
    for part in (recommendations, mixed, replies, chat, users, items, info, tools, health, page):
        app.include_router(part.router)
    return app


async def _refuse(_: Request, error: Any) -> JsonAnswer:
    if isinstance(error, StoreError):  # why is a matter for the operator
        logger.error("the store failed", extra={"fields": {"reason": str(error)}})
    return error_response(error)


async def _refuse_field(_: Request, error: Any) -> JsonAnswer:
    """The first field that is wrong; its value is not repeated."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header")]
    param = ".".join(place) or None
    message = f"{param}: {first['msg']}" if param else first["msg"]
    return error_response(ApiError(400, message, first["type"], param))


async def _refuse_path(_: Request, error: Any) -> JsonAnswer:
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    return error_response(ApiError(error.status_code, error.detail, code, headers=error.headers))

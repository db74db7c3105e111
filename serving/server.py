"""The process: listen, serve, and end without losing what was accepted."""

import asyncio
import logging
import math
import signal
import socket
import sys
from types import FrameType

import uvicorn

from serving.app import create_app
from serving.config import ServeConfig
from serving.garbage import spare_what_is_loaded
from serving.logs import set_up_logs
from serving.service import Service, open_service
from serving.tracing import sent_traces

END_SECONDS = 5
"""How much longer than a deadline the end waits for clients that are slow to read."""
logger = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """Says on a signal that it is about to end, serves on for a while, then answers what is left.

    A second signal ends the while.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service, self._loop = service, asyncio.get_running_loop()
        self._patience = service.config.batching.deadline_ms / 1000 + END_SECONDS
        config.timeout_graceful_shutdown = math.ceil(self._patience) + 1

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections, and say so: from here on a signal drains."""
        spare_what_is_loaded()
        await super().startup(sockets)
        scheme = "https" if self.config.is_ssl else "http"
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            logger.info("listening", extra={"fields": {"url": f"{scheme}://{host}:{port}"}})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal; the process ends with 0, so it is not raised again."""
        if self._service.draining or sig == signal.SIGINT:
            self.force_exit = self.should_exit
            self.should_exit = True
        self._service.draining = True
        seconds = self._service.config.drain_seconds
        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, self._end)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is left, and cut off clients that do not read their answers in time."""
        cutting = self._loop.call_later(self._patience, self._cut)
        await super().shutdown(sockets)
        cutting.cancel()

    def _end(self) -> None:
        self.should_exit = True

    def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()


def run(config: ServeConfig) -> None:
    """Load the bundle and serve it until a signal comes.

    Raises:
        RecGenError: The bundle, the keys or the store cannot be used.
        OSError: The address cannot be listened on.
    """
    set_up_logs(config.log_level)
    settings = uvicorn.Config(
        "serving.app:create_app",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ssl_certfile=config.tls.cert if config.tls else None,
        ssl_keyfile=config.tls.key if config.tls else None,
    )
    loop = settings.get_loop_factory()
    with sent_traces(), asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_serve(config, settings))


async def _serve(config: ServeConfig, settings: uvicorn.Config) -> None:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family)  # bound, so that a port in use is told at once
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((config.host, config.port))
    if sys.platform == "linux":  # connections inherit it
        unread_ms = round(config.limits.unread_seconds * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread_ms)
    async with open_service(config) as service:
        settings.app = create_app(service)
        await DrainingServer(settings, service).serve([listener])
    logger.info("ended")

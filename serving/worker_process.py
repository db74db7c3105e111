"""A process that holds the model, so that a search never holds up the event loop.

It shares no interpreter lock with the server, and the server outlives it.
"""

import atexit
import contextlib
import logging
import multiprocessing
import signal
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from rec_gen.errors import ModelError, RecGenError
from rec_gen.notices import quiet
from rec_gen.recommender import Recommender
from rec_gen.remote import answer_call, found, refusal
from serving.errors import EngineDownError
from serving.garbage import spare_what_is_loaded
from serving.logs import set_up_logs

CALLS = 2
"""Calls that run at once: a search, and a change of the catalog."""
logger = logging.getLogger(__name__)


class WorkerProcess:
    """A process with a loaded bundle; several threads may call it at once.

    Args:
        path: The bundle's folder.
        device: Where the model runs; CUDA if there is one.
        log_level: What it logs.

    Attributes:
        ended: Done once the process has ended, whatever ended it.

    Raises:
        RecGenError: The bundle cannot be used.
        EngineDownError: The process ended while it loaded the bundle.
    """

    def __init__(self, path: Path, device: str | None = None, log_level: str = "info") -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, path, device, log_level), name="recgen-engine", daemon=True
        )
        self._process.start()
        theirs.close()
        self._lock, self._numbers = Lock(), count()
        self._waiting: dict[int, Future[Any]] = {}
        self.ended: Future[None] = Future()
        try:
            found(self._connection.recv())
        except EOFError:
            raise EngineDownError from None
        atexit.register(self.close)  # before multiprocessing waits for it
        Thread(target=self._receive, name="engine-answers", daemon=True).start()

    def call(self, method: str, arguments: list[Any], options: dict[str, Any]) -> Any:
        """Have `answer_call` called there; what it returns.

        Raises:
            EngineDownError: The process has ended.
        """
        answer: Future[Any] = Future()
        with self._lock:
            if self.ended.done():
                raise EngineDownError
            number = next(self._numbers)
            self._waiting[number] = answer
            try:
                self._connection.send((number, method, arguments, options))
            except OSError:
                raise EngineDownError from None
        return answer.result()

    def close(self) -> None:
        """End the process once it has answered."""
        atexit.unregister(self.close)
        with self._lock, contextlib.suppress(OSError):  # it may have ended
            self._connection.send(None)
        self._process.join()

    def _receive(self) -> None:
        while True:
            try:
                number, said = self._connection.recv()
            except (EOFError, OSError):
                break
            self._waiting.pop(number).set_result(said)
        with self._lock:
            self.ended.set_result(None)
            for answer in self._waiting.values():
                answer.set_exception(EngineDownError())


def _work(connection: Connection, path: Path, device: str | None, log_level: str) -> None:
    """Answer calls until the server says so, or is gone."""
    for sign in (signal.SIGINT, signal.SIGTERM):  # the server ends this process
        signal.signal(sign, signal.SIG_IGN)
    set_up_logs(log_level)
    quiet()
    try:
        recommender = Recommender.load(path, device=device)
    except RecGenError as error:
        connection.send(refusal(error))
        return
    spare_what_is_loaded()
    connection.send({"found": None})
    sending = Lock()

    def answer(number: int, method: str, arguments: list[Any], options: dict[str, Any]) -> None:
        try:
            said = answer_call(recommender, method, arguments, options)
        except Exception:  # who asked is told, and the process goes on
            logger.exception("the call failed", extra={"fields": {"method": method}})
            said = refusal(ModelError(f"{recommender.bundle.manifest.name}: {method} failed"))
        with sending:
            connection.send((number, said))

    with ThreadPoolExecutor(CALLS, "call") as pool:
        while (asked := _next(connection)) is not None:
            pool.submit(answer, *asked)


def _next(connection: Connection) -> Any:
    try:
        return connection.recv()
    except EOFError:
        return None

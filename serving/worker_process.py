"""A process that holds the model, so that a search never holds up the event loop.

It shares no interpreter lock with the server, and the server outlives it.
"""

import atexit
import contextlib
import logging
import multiprocessing
import signal
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from rec_gen.bundle import Bundle
from rec_gen.errors import ModelError, RecGenError
from rec_gen.models import move_to
from rec_gen.notices import quiet
from rec_gen.remote import answer_call, found, refusal
from serving.errors import EngineDownError
from serving.garbage import spare_what_is_loaded
from serving.logs import set_up_logs
from serving.parent import end_with_parent

CALLS = 2
"""Calls that run at once: a search, and a change of the catalog."""
PATIENCE_SECONDS, CLOSE_SECONDS = 60.0, 5.0
LONG_CALLS: Mapping[str, float | None] = {"reply": 600.0, "update": None}
"""Calls that may take longer, in seconds: replies are written token by token."""
logger = logging.getLogger(__name__)


class WorkerProcess:
    """A process that loads a bundle and holds it; several threads may call it at once.

    It ends with the server, however that ends.

    Args:
        path: The bundle's folder.
        device: Where the model runs; CUDA if there is one.
        log_level: What it logs.

    Attributes:
        ended: Done once the process has ended, whatever ended it.
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
        self._outgoing: SimpleQueue[Any] = SimpleQueue()
        self.ended: Future[None] = Future()
        atexit.register(self.kill)  # before multiprocessing waits for it

    def wait_until_loaded(self) -> str:
        """Wait for the bundle; the digest of its manifest.

        Raises:
            RecGenError: The bundle cannot be used.
            EngineDownError: The process ended while it loaded the bundle.
        """
        try:
            digest: str = found(self._connection.recv())
        except (EOFError, OSError):
            raise EngineDownError from None
        Thread(target=self._receive, name="engine-answers", daemon=True).start()
        Thread(target=self._send, name="engine-calls", daemon=True).start()
        return digest

    def call(
        self,
        method: str,
        arguments: list[Any],
        options: dict[str, Any],
        *,
        domain: str | None = None,
    ) -> Any:
        """Have `answer_call` called there; what it returns.

        A process that says nothing for `PATIENCE_SECONDS` is taken to hang, and killed; a reply may
        take longer, and a change of the catalog as long as it wants.

        Raises:
            EngineDownError: The process has ended.
        """
        answer: Future[Any] = Future()
        with self._lock:
            if self.ended.done():
                raise EngineDownError
            number = next(self._numbers)
            self._waiting[number] = answer
            asked = (number, method, arguments, options, domain)
            self._outgoing.put(ForkingPickler.dumps(asked))
        try:
            return answer.result(LONG_CALLS.get(method, PATIENCE_SECONDS))
        except TimeoutError:
            logger.error("the engine hangs and is killed", extra={"fields": {"method": method}})
            self.kill()
            raise EngineDownError from None

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def close(self) -> None:
        """End the process once it has answered, and at once if that takes long."""
        atexit.unregister(self.kill)
        self._outgoing.put(ForkingPickler.dumps(None))
        self._process.join(CLOSE_SECONDS)
        self.kill()
        self._process.join()

    def _send(self) -> None:
        """Send what is asked, in a thread, since a process that hangs takes nothing more."""
        with contextlib.suppress(OSError):  # it has ended
            while (asked := self._outgoing.get()) is not None:
                self._connection.send_bytes(asked)

    def _receive(self) -> None:
        while True:
            try:
                number, said = self._connection.recv()
            except (EOFError, OSError):
                break
            self._waiting.pop(number).set_result(said)
        self._outgoing.put(None)
        with self._lock:
            self.ended.set_result(None)
            for answer in self._waiting.values():
                answer.set_exception(EngineDownError())


def _work(connection: Connection, path: Path, device: str | None, log_level: str) -> None:
    """Answer calls until the server says so; where it is gone, end at once."""
    end_with_parent()
    for sign in (signal.SIGINT, signal.SIGTERM):  # the server ends this process
        signal.signal(sign, signal.SIG_IGN)
    set_up_logs(log_level)
    quiet()
    from rec_gen.mixed import recommenders_of  # only this process needs what runs a model

    try:
        bundle = Bundle.load(path)
        move_to(bundle.model, device)
        recommenders = recommenders_of(bundle)
    except RecGenError as error:
        connection.send(refusal(error))
        return
    spare_what_is_loaded()
    connection.send({"found": bundle.manifest.digest})
    sending = Lock()

    def answer(number: int, method: str, *asked: Any) -> None:
        try:
            said = answer_call(recommenders, method, *asked)
        except Exception:  # who asked is told, and the process goes on
            logger.exception("the call failed", extra={"fields": {"method": method}})
            said = refusal(ModelError(f"{bundle.manifest.name}: {method} failed"))
        with sending:
            connection.send((number, said))

    with ThreadPoolExecutor(CALLS, "call") as pool:
        while (asked := _next(connection)) is not None:
            pool.submit(answer, *asked)


def _next(connection: Connection) -> Any:
    try:
        return connection.recv()
    except (EOFError, OSError):
        return None

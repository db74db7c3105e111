"""A real server in a process of its own, on the loopback."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from eval.benchmarks.serving_server import engine_process

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Server:
    """A running server.

    Attributes:
        process: Its process.
        url: Where it listens.
        logs: What it has logged so far, line by line.
    """

    process: "subprocess.Popen[str]"
    url: str = ""
    logs: list[str] = field(default_factory=list)

    def client(self, key: str | None = None, **options: Any) -> httpx.Client:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, **options)

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return self.process.wait(60)


@contextmanager
def served(bundle: Path, *arguments: object, **environment: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "rec_gen", "serve", bundle, "--port", "0", *arguments]
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    server = Server(process)
    assert process.stderr is not None
    for line in process.stderr:
        server.logs.append(line)
        if '"listening"' in line:
            server.url = json.loads(line)["url"]
            break
    else:
        process.stderr.close()
        raise AssertionError(f"exit code {process.wait(60)}\n{''.join(server.logs)}")
    reader = threading.Thread(target=server.logs.extend, args=(process.stderr,), daemon=True)
    reader.start()
    try:
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)
        reader.join(60)
        process.stderr.close()


def engine_of(server: Server) -> psutil.Process:
    """The process that runs the model of a server."""
    engine = engine_process(server.process.pid)
    assert engine is not None
    return engine


def until(done: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    for _ in range(6000):
        if done():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within 60 s")

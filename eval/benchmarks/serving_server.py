"""The server that is measured: `recgen serve` in a process of its own, and what it takes."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
import psutil

from rec_gen.catalog import Catalog

ITEMS = 1000
UNLIMITED = "limits.rate=1000000/second"
"""All load comes with one key, which is the one thing that no shop's load does."""


def random_titles(kind: str = "Film") -> Catalog:
    """A catalog whose titles have a common end; those of another kind are others."""
    return Catalog(
        pl.DataFrame(
            {
                "item": [f"i{n}" for n in range(ITEMS)],
                "title": [f"{kind} {n} of a long row" for n in range(ITEMS)],
            }
        )
    )


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        process: Its process.
        url: Where it listens.
        log: The file of its log.
    """

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged, without a last line that is not whole."""
        text = self.log.read_text(encoding="utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@contextmanager
def served(
    bundle: Path, folder: Path, *options: str, store: str = "", port: int = 0
) -> Iterator[Server]:
    """A server that listens, and that has ended when the block ends.

    Args:
        bundle: The bundle.
        folder: Where the log goes, and the store, unless one is given.
        options: More of the command's options.
        store: The store's URL.
        port: Where it listens; 0 takes a free port.
    """
    command = [sys.executable, "-m", "rec_gen", "serve", str(bundle), "--port", str(port)]
    command += ["--store", store or f"sqlite:///{folder}/store.db", "--set", UNLIMITED, *options]
    log = folder / f"log-{time.monotonic_ns()}.txt"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stderr=file)
    try:
        while '"listening"' not in (text := log.read_text(encoding="utf-8")):
            if process.poll() is not None:
                raise click.ClickException(text)
            time.sleep(0.02)
        line = next(line for line in text.splitlines() if '"listening"' in line)
        yield Server(process, json.loads(line)["url"], log)
    finally:
        process.terminate()
        process.wait()


def engine_process(server: int) -> psutil.Process | None:
    """What runs the model of a server, by process id.

    It is the largest process below the server's, if there is any but Python's own.
    """
    children = psutil.Process(server).children(recursive=True)
    own = [one for one in children if "resource_tracker" not in " ".join(one.cmdline())]
    return max(own, key=lambda one: one.memory_info().rss, default=None)


class Usage:
    """Memory and processor time of a server with its children, read every few seconds."""

    def __init__(self, server: Server, every: float) -> None:
        self._server, self._every = psutil.Process(server.process.pid), every
        self._rows: list[tuple[float, float, float]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Usage":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def figures(self) -> dict[str, float]:
        """Memory after the first tenth and at the end, its slope in between, and cores."""
        seconds, mb, busy = np.array(self._rows).T
        seconds = seconds - seconds[0]
        steady = seconds >= seconds[-1] / 10
        slope = 60 * np.polyfit(seconds[steady], mb[steady], 1)[0]
        found = {
            "memory_start_mb": mb[steady][0],
            "memory_end_mb": mb[-1],
            "memory_mb_per_minute": slope,
            "server_cores": (busy[-1] - busy[0]) / seconds[-1],
        }
        return {name: float(value) for name, value in found.items()}

    def _watch(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(self._every if self._rows else 0)
            self._rows.append((time.monotonic(), *_usage(self._server)))


def _usage(server: psutil.Process) -> tuple[float, float]:
    """Megabytes of resident memory and seconds of processor time."""
    mb = seconds = 0.0
    for process in (server, *server.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            mb += process.memory_info().rss / 1e6
            seconds += sum(process.cpu_times()[:2])
    return mb, seconds


def options(settings: Sequence[str]) -> list[str]:
    """Settings as the command takes them."""
    return [part for setting in settings for part in ("--set", setting)]

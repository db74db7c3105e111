"""What the disk itself takes to keep a little: no acknowledgement of an event can be faster."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

BYTES, PAUSE = 4096, 0.1


@contextmanager
def syncing(folder: Path) -> Iterator[list[float]]:
    """Write and sync while the block runs; milliseconds, filled meanwhile."""
    ms: list[float] = []
    ended = Event()

    def write() -> None:
        with (folder / "sync").open("wb", buffering=0) as file:
            while not ended.wait(PAUSE):
                file.write(bytes(BYTES))
                start = time.perf_counter()
                os.fsync(file.fileno())
                ms.append(1e3 * (time.perf_counter() - start))

    thread = Thread(target=write)
    thread.start()
    try:
        yield ms
    finally:
        ended.set()
        thread.join()

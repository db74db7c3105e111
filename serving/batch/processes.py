"""The missing parts of a job in several processes of this machine, each with a model of its own."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import torch

from rec_gen.errors import ModelError
from rec_gen.notices import quiet
from rec_gen.remote import found
from serving.batch.config import BatchConfig
from serving.batch.input import Users
from serving.batch.part_worker import PartWorker
from serving.batch.parts import Part
from serving.batch.work import Done
from serving.parent import end_with_parent

_worker: PartWorker
"""Of a process of the pool."""


@contextmanager
def part_processes(
    config: BatchConfig, users: Users, digest: str, workers: int
) -> Iterator[Callable[[Sequence[Part]], Iterator[Done]]]:
    """Start processes that have loaded the bundle; they end with the context.

    Each computes with its share of the cores.

    Args:
        config: The job.
        users: The table of users.
        digest: The digest of the bundle's manifest.
        workers: How many processes.

    Yields:
        Has parts done, and tells of each once it is.

    Raises:
        ModelError: A process was ended by the system.
        RecGenError: A worker cannot go on.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        initializer=_load,
        initargs=(config, users, digest, threads),
    )
    try:
        _wait(pool.submit(_ready) for _ in range(workers))
        yield lambda parts: _done(pool.submit(_do, part) for part in parts)
    except BrokenProcessPool as error:
        raise ModelError(
            "a worker was ended by the system, perhaps for want of memory: the same command goes "
            "on, with fewer --workers if it must"
        ) from error
    finally:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        pool.shutdown(cancel_futures=True)


def _done(futures: Iterable[Any]) -> Iterator[Done]:
    for future in as_completed(futures):
        yield Done(**found(future.result()))


def _wait(futures: Iterable[Any]) -> None:
    for future in list(futures):
        future.result()


def _load(config: BatchConfig, users: Users, digest: str, threads: int) -> None:
    global _worker
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the job ends this process
    quiet()
    torch.set_num_threads(threads)
    _worker = PartWorker(config, users, digest)


def _ready() -> None:
    pass


def _do(part: Part) -> dict[str, Any]:
    return _worker.do(part)

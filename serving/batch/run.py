"""A job from its start, or from where it stopped, to its end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rec_gen.errors import RecGenError
from rec_gen.manifest import read_manifest
from serving.batch.config import BatchConfig
from serving.batch.input import Users
from serving.batch.job import Job, open_job
from serving.batch.parts import ANY_ANSWERS, cut
from serving.batch.progress import JobProgress
from serving.batch.work import Done, Worker


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        users: Users of this run.
        earlier: Users of parts that were done before.
        failed: Users of this run without an answer.
        prompt_tokens: The tokens of this run's prompts.
        seconds: What this run's parts took, without loading; on a cluster, with Ray's start and
            loading.
    """

    users: int
    earlier: int
    failed: int
    prompt_tokens: int
    seconds: float

    def __str__(self) -> str:
        pace = self.users / self.seconds if self.seconds else 0.0
        return (
            f"{self.users:,} users in {self.seconds:,.1f} s ({pace:,.1f} a second), "
            f"{self.failed:,} of them failed; {self.earlier:,} were done before; "
            f"{self.prompt_tokens:,} tokens of prompts"
        )


def run(config: BatchConfig) -> Summary:
    """Do what is missing of a job; returns once all of it is done.

    Raises:
        RecGenError: The job cannot begin or go on, or was told to stop. What is written stays.
    """
    manifest = read_manifest(config.bundle)
    users = Users.open(config.users, config.columns)
    parts = len(cut(len(users), config.part_rows))
    with _stoppable(config.output, parts), open_job(config, manifest, users) as job:
        if not job.missing:
            return Summary(0, job.users_done, 0, 0, 0.0)
        work = _on_cluster if config.ray else _here if config.workers == 1 else _in_processes
        return work(config, users, manifest.digest, job)


def _here(config: BatchConfig, users: Users, digest: str, job: Job) -> Summary:
    worker = Worker.load(config, users, digest)
    return _follow(lambda tell: (worker.do(part, tell) for part in job.missing), users, job)


def _in_processes(config: BatchConfig, users: Users, digest: str, job: Job) -> Summary:
    from serving.batch.processes import part_processes

    workers = min(config.workers, len(job.missing))
    with part_processes(config, users, digest, workers) as do_parts:
        return _follow(lambda _: do_parts(job.missing), users, job)


def _on_cluster(config: BatchConfig, users: Users, digest: str, job: Job) -> Summary:
    from serving.batch.ray_data import do_parts

    return _follow(lambda _: do_parts(config, users, digest, job.missing), users, job)


def _follow(
    parts: Callable[[Callable[[float], object]], Iterator[Done]], users: Users, job: Job
) -> Summary:
    """Have parts done, and show how far that is."""
    with JobProgress(len(users), job.users_done) as progress:
        for done in parts(progress.advance):
            progress.finish(done)
        return Summary(
            sum(map(len, job.missing)),
            job.users_done,
            progress.failed,
            progress.prompt_tokens,
            progress.seconds,
        )


@contextmanager
def _stoppable(folder: Path, parts: int) -> Iterator[None]:
    """SIGTERM stops as Ctrl+C does: the parts in progress are left out."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if main else None
    try:
        yield
    except KeyboardInterrupt:
        done = len(list(folder.glob(ANY_ANSWERS)))
        raise RecGenError(
            f"stopped with {done:,} of {parts:,} parts done: the same command goes on"
        ) from None
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)

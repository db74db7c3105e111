"""The folder of a job: what it is a job of, and which of its parts are done."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rec_gen.config import flat
from rec_gen.errors import ConfigError
from rec_gen.files import file_sha256, write_text
from rec_gen.manifest import Manifest
from serving.batch.config import BatchConfig
from serving.batch.input import Users
from serving.batch.parts import ANY_ANSWERS, ANY_FAILED, Part, cut, missing

JOB, LOCK = "batch.json", "batch.lock"
FORMAT = 1


@dataclass(frozen=True)
class Job:
    """One bundle's answers for one table of users.

    Attributes:
        folder: Where the answers go.
        parts: All parts.
        missing: Those that are not done yet.
    """

    folder: Path
    parts: list[Part]
    missing: list[Part]

    @property
    def users_done(self) -> int:
        """Users of the parts that are done."""
        return sum(map(len, self.parts)) - sum(map(len, self.missing))


@contextmanager
def open_job(config: BatchConfig, manifest: Manifest, users: Users) -> Iterator[Job]:
    """Begin a job, or go on with it; no other process may do so meanwhile.

    Raises:
        ConfigError: The folder holds another job, which is done in part, or another process works
            on it.
        DataError: A user stands in two rows.
    """
    folder = config.output
    _refuse_other_files(folder)
    identity = job_identity(config, manifest, users)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            parts = cut(len(users), config.part_rows)
            left = missing(parts, folder)
            if any(folder.glob(ANY_ANSWERS)):
                _refuse_other_job(identity, folder)
            else:
                users.refuse_repeated()
                for stale in folder.glob(ANY_FAILED):  # of a part that was killed on the way
                    stale.unlink()
                write_text(folder / JOB, json.dumps(identity, indent=2) + "\n")
            for partial in folder.glob(".*.partial"):  # of a process that was killed
                partial.unlink(missing_ok=True)
            yield Job(folder, parts, left)
    except Timeout as error:
        raise ConfigError(f"{folder}: another process works on it: wait for its end") from error


def job_identity(config: BatchConfig, manifest: Manifest, users: Users) -> dict[str, Any]:
    """What makes a job another job, ready for JSON."""
    return {
        "format": FORMAT,
        "bundle": {"name": manifest.name, "digest": manifest.digest},
        "users": {
            file.name: {"rows": rows, "sha256": file_sha256(file)}
            for file, rows in zip(users.files, users.rows, strict=True)
        },
        "options": config.answer_options,
    }


def _refuse_other_files(folder: Path) -> None:
    try:
        ours = (folder / JOB).exists() or all(_is_beginning(each) for each in folder.iterdir())
    except FileNotFoundError:
        return
    if not ours:
        raise ConfigError(f"{folder}: holds files of something else; choose another folder")


def _is_beginning(file: Path) -> bool:
    """Whether a job that was killed before it wrote what it is may have left a file."""
    return file.name == LOCK or (file.name.startswith(f".{JOB}.") and file.suffix == ".partial")


def _refuse_other_job(identity: dict[str, Any], folder: Path) -> None:
    file = folder / JOB
    try:
        earlier, mine = flat(json.loads(file.read_text(encoding="utf-8"))), flat(identity)
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"{file}: is damaged; choose another folder") from error
    differing = sorted(key for key in {*mine, *earlier} if mine.get(key) != earlier.get(key))
    if differing:
        told = ", ".join(f"{key} was {earlier.get(key)}, is {mine.get(key)}" for key in differing)
        raise ConfigError(
            f"{folder}: holds another job ({told}): choose another folder, or go on as it began"
        )

"""A user taken out of the answers of a job."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout

from rec_gen.errors import ConfigError
from serving.batch.job import JOB, LOCK
from serving.batch.output import write_table
from serving.batch.parts import ANY_ANSWERS, ANY_FAILED, cut, missing


@dataclass(frozen=True)
class Forgotten:
    """What the folder of a job held of a user.

    Attributes:
        rows: Answers and failed rows, which were removed.
        unfinished: Parts that are not done; the job would answer the user there.
    """

    rows: int
    unfinished: int


def forget_user(folder: Path, ids: Collection[str], *, dry_run: bool = False) -> Forgotten:
    """Write the parts of a job without a user; parts that are done stay done.

    Args:
        folder: What `recgen batch` wrote.
        ids: All that the user is called there.
        dry_run: Only say what would be removed.

    Raises:
        ConfigError: The folder holds no job, or a process works on it.
    """
    parts = _unfinished(folder)
    try:
        with FileLock(folder / LOCK, timeout=0):
            files = sorted([*folder.glob(ANY_ANSWERS), *folder.glob(ANY_FAILED)])
            rows = sum(_forget(file, ids, dry_run=dry_run) for file in files)
            if not dry_run:
                for partial in folder.glob(".*.partial"):  # of a process that was killed
                    partial.unlink(missing_ok=True)
    except Timeout as error:
        raise ConfigError(f"{folder}: a process works on it: wait for its end") from error
    return Forgotten(rows, parts)


def _forget(file: Path, ids: Collection[str], *, dry_run: bool) -> int:
    frame = pl.read_parquet(file, glob=False)
    theirs = pl.col("user").cast(pl.String).is_in(list(ids)).fill_null(value=False)
    rest = frame.filter(~theirs)
    if len(rest) < len(frame) and not dry_run:
        write_table(rest, file)
    return len(frame) - len(rest)


def _unfinished(folder: Path) -> int:
    try:
        job = json.loads((folder / JOB).read_text(encoding="utf-8"))
        rows = sum(file["rows"] for file in job["users"].values())
        return len(missing(cut(rows, job["options"]["part_rows"]), folder))
    except OSError as error:
        raise ConfigError(f"{folder}: holds no job of recgen batch") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{folder / JOB}: is damaged; delete the folder") from error

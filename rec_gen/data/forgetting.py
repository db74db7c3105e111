"""A user taken out of prepared data, and what says that there was one."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock

from rec_gen.data.config import DataConfig
from rec_gen.data.dataset import (
    FINDINGS,
    INTERACTIONS,
    ITEMS,
    MANIFEST,
    USERS,
    Dataset,
    split_sizes,
    write_findings,
)
from rec_gen.data.readers import open_table
from rec_gen.errors import DataError
from rec_gen.files import cache_folder, new_folder

_FILES = {FINDINGS, INTERACTIONS, ITEMS, MANIFEST, USERS}


@dataclass(frozen=True)
class Forgotten:
    """What a prepared folder held of a user.

    Attributes:
        folder: The folder.
        name: The data set's name.
        interactions: The user's interactions, which were removed.
        before: The fingerprint of what was there.
        fingerprint: The fingerprint of what is there now.
        former: The fingerprints of what was there before each user that was ever forgotten, this
            one among them.
    """

    folder: Path
    name: str
    interactions: int
    before: str
    fingerprint: str
    former: tuple[str, ...]


def forget_user(folder: Path, ids: Collection[str], *, dry_run: bool = False) -> Forgotten:
    """Take a user out of a prepared folder, which is written beside and replaced.

    The manifest then says how many users were forgotten and what the fingerprints were before, and
    never who. A folder without the user stays as it is.

    Args:
        folder: What `recgen prepare` wrote.
        ids: All that the user is called there.
        dry_run: Only say what would be removed.

    Raises:
        DataError: The folder is not what was prepared, holds other files, or nobody else.
    """
    if not dry_run:
        place = folder.resolve()
        with FileLock(place.with_name(f".{place.name}.lock")):  # of two users none comes back
            return _forget(folder, ids, dry_run=False)
    return _forget(folder, ids, dry_run=True)


def _forget(folder: Path, ids: Collection[str], *, dry_run: bool) -> Forgotten:
    dataset = Dataset.load(folder)
    told = dataset.manifest.get("forgotten", {"users": 0, "fingerprints": []})
    former, before = tuple(told["fingerprints"]), dataset.fingerprint
    others = ~pl.col("user").is_in(list(ids))
    frame = dataset.frame.filter(others)
    gone = len(dataset.frame) - len(frame)
    if not gone:
        return Forgotten(folder, dataset.name, 0, before, before, former)
    if frame.is_empty():
        raise DataError(f"{folder}: holds nobody else; delete the folder")
    for file in sorted(folder.iterdir()):
        if file.name not in _FILES:
            raise DataError(f"{file}: is no part of the prepared data; move it elsewhere first")
    former = (*former, before)
    known = None if dataset.user_frame is None else dataset.user_frame.filter(others)
    forgotten = {"users": told["users"] + 1, "fingerprints": list(former)}
    manifest = dataset.manifest | {"counts": _counts(dataset, frame), "forgotten": forgotten}
    rest = Dataset(dataset.catalog, frame, manifest, known)
    if not dry_run:
        with new_folder(folder) as partial:
            rest.save(partial)
            _copy_findings(folder, partial, ids)
    return Forgotten(folder, dataset.name, gone, before, rest.fingerprint, former)


def _copy_findings(folder: Path, partial: Path, ids: Collection[str]) -> None:
    """Keep what a screening found of all others."""
    file = folder / FINDINGS
    if file.exists():
        found = _read(file)
        suspects = found.get("suspects")
        if not isinstance(suspects, dict):
            raise DataError(f"{file}: 'suspects' is no table of users: restore the file")
        found["suspects"] = {user: why for user, why in suspects.items() if user not in ids}
        write_findings(partial, found)


def _counts(dataset: Dataset, frame: pl.DataFrame) -> dict[str, int]:
    return {
        "users": frame["user"].n_unique(),
        "items": len(dataset.catalog),
        "interactions": len(frame),
        **split_sizes(frame),
    }


def cached_copies(name: str) -> Iterator[Path]:
    """The folders of the cache that hold a data set of a name, in any state."""
    for file in sorted((cache_folder() / "prepared").glob(f"{name}-*/{MANIFEST}")):
        if _read(file).get("name") == name:
            yield file.parent


def _read(file: Path) -> dict[str, Any]:
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error}); delete its folder") from error
    return table if isinstance(table, dict) else {}


def leftovers(folder: Path) -> list[Path]:
    """What killed processes left beside a folder that they were writing."""
    place = folder.resolve()
    return sorted(
        each
        for end in ("partial", "replaced")
        for each in place.parent.glob(f".{place.name}.*.{end}")
    )


def own_rows(config: DataConfig, user: str) -> Iterator[tuple[Path, int]]:
    """Each own table that a configuration names and that holds a user, with the number of rows.

    Raises:
        DataError: A table cannot be read, or lacks the column of users.
    """
    log, split = config.interactions, config.split
    columns = (
        {path: log.user for path in (log.path, split.valid_path, split.test_path) if path}
        if log
        else {}
    )
    if config.users is not None:
        columns[config.users.path] = config.users.id
    for path, column in columns.items():
        table = open_table(path)
        table.require([column], "name the column of users in the configuration")
        same = pl.col(column).cast(pl.String).str.strip_chars() == user
        rows = table.collect(table.frame.select(same.sum())).item()
        if rows:
            yield path, int(rows)

"""Preparing a data set: read, check, order, split, store."""

import platform
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.data.config import DataConfig, SourceName
from rec_gen.data.dataset import SPLITS, Dataset, refuse_other_folder, split_sizes
from rec_gen.data.masking import mask_tables
from rec_gen.data.shares import learn_share
from rec_gen.data.sources import SOURCES
from rec_gen.data.splits import order, out_of_order, refuse_empty, split
from rec_gen.data.tables import SPLIT, Tables, read_own_tables
from rec_gen.errors import DataError
from rec_gen.files import cache_folder, new_folder

Counts = dict[str, dict[str, int]]
"""What was left out, by users, items, interactions or user rows, and by reason."""

_REVISION = 7
"""Raised when the same input is prepared differently, so that stored data is prepared anew."""


def prepare(config: DataConfig, out: Path) -> Dataset:
    """Prepare a data set and write it to a folder, replacing a prepared data set there.

    Raises:
        DataError: The source or a table is missing or wrong, nothing is left, or the folder
            holds something else.
    """
    if config.prepared:
        raise DataError(f"{config.prepared}: is prepared already; name its source or its tables")
    refuse_other_folder(out)
    tables, masked = _read(config), None
    if config.mask is not None:
        tables, masked = mask_tables(tables, config.mask)
    dataset = learn_share(_assemble(tables, config), config.share, config.seed)
    if masked is not None:
        dataset.manifest["masked"] = masked
    with new_folder(out) as folder:
        dataset.save(folder)
    return dataset


def load_dataset(config: DataConfig) -> Dataset:
    """Load a prepared data set.

    Unless the configuration names a prepared folder, the data set is kept in the cache folder,
    and prepared there unless the same configuration and the same input files were before.

    Raises:
        DataError: The data set cannot be prepared, or was changed since.
    """
    return learn_share(_load_whole(config), config.share, config.seed)


def _load_whole(config: DataConfig) -> Dataset:
    if config.prepared:
        return Dataset.load(config.prepared)
    cached, whole = cached_folder(config), config.model_copy(update={"share": 1.0})
    return Dataset.load(cached) if cached.is_dir() else prepare(whole, cached)


def cached_folder(config: DataConfig) -> Path:
    """Where the cache keeps a data set.

    Raises:
        DataError: The source is missing.
    """
    return cache_folder() / "prepared" / f"{config.name}-{_key(config)}"


def summarize(dataset: Dataset) -> list[str]:
    """What a data set holds and what was left out, as lines for people."""
    manifest = dataset.manifest
    counts = {name: _count(name, count) for name, count in manifest["counts"].items()}
    totals = [counts.pop(name) for name in ("users", "items", "interactions")]
    lines = [
        f"{dataset.name}: {', '.join(totals)}",
        f"split: {manifest['split']}: {', '.join(counts.values())}",
    ]
    left_out = [
        f"left out: {_count(what, count)}: {reason}"
        for what, reasons in manifest["left_out"].items()
        for reason, count in reasons.items()
    ]
    lines += left_out or ["nothing was left out"]
    if unknown := manifest.get("unknown_users", 0):
        lines.append(f"empty columns: {_count('users', unknown)}: no row in the table of users")
    for column, kinds in manifest.get("masked", {}).items():
        told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
        lines.append(f"masked in {column}: {told or 'nothing was found'}")
    if forgotten := manifest.get("forgotten"):
        lines.append(f"forgotten since it was prepared: {_count('users', forgotten['users'])}")
    return lines


def _count(what: str, count: int) -> str:
    return f"{count:,} {what.removesuffix('s') if count == 1 else what}"


def _read(config: DataConfig) -> Tables:
    if config.interactions and config.items:
        return read_own_tables(
            config.interactions, config.items, config.split, config.bad_rows, config.users
        )
    source = SOURCES[cast(SourceName, config.source)]
    return source.read(source.locate())


def _key(config: DataConfig) -> str:
    """A digest of the configuration and of the input files' places, sizes and times of change."""
    # a share is taken of what the cache keeps; a mask counts where there is one, so that older
    # folders are found
    keys = config.model_dump_json(exclude={"share"} if config.mask else {"share", "mask"})
    digest = blake2b(f"{_REVISION} {keys}".encode(), digest_size=6)
    for path in _files(config):
        stat = path.stat()
        seen = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
        digest.update(seen.encode())
    return digest.hexdigest()


def _files(config: DataConfig) -> list[Path]:
    key = config.mask.user_key if config.mask else None
    keys = [key] if key and key.is_file() else []
    if config.source:
        path = SOURCES[config.source].locate()
        return [*(sorted(path.iterdir()) if path.is_dir() else [path]), *keys]
    tables, split = (config.interactions, config.items, config.users), config.split
    paths = [*(table.path for table in tables if table), split.valid_path, split.test_path]
    return [*(path for path in paths if path and path.is_file()), *keys]


def _assemble(tables: Tables, config: DataConfig) -> Dataset:
    """Order and split what was read; users and rows that fall out are counted."""
    catalog = tables.catalog
    left_out: Counts = {"users": {}, "items": {}, "interactions": {}}
    left_out |= {what: dict(reasons) for what, reasons in tables.left_out.items()}
    users = tables.interactions["user"].unique().sort()
    code = pl.col("user").cast(pl.Enum(users)).to_physical().cast(pl.UInt32)
    frame = _drop_short(tables.interactions.with_columns(code), config, left_out)
    frame = order(frame, users.to_list(), catalog.ids, config.seed)
    codes, description = split(frame, config.split, config.name)
    late = out_of_order(frame["user"].to_numpy(), codes)
    if late.any():
        if config.bad_rows == "error":
            user, item = frame.row(int(late.argmax()))[:2]
            raise DataError(
                f"{config.name}: user '{users[user]}': item '{catalog.ids[item]}' comes after one "
                "of a later split; correct the given split, "
                'or leave such rows out with bad_rows = "skip"'
            )
        frame, codes = frame.filter(~late), codes[~late]
        left_out["interactions"]["comes after one of a later split"] = int(late.sum())
        refuse_empty(codes, description, config.name)
    seconds = pl.col("time") // 1_000_000 if "time" in frame.columns else pl.lit(None, pl.Int64)
    frame = frame.select(
        users.gather(frame["user"]),
        "item",
        seconds.alias("time"),
        pl.Series("split", SPLITS, dtype=SPLIT).gather(codes),
        pl.col("^(rating|weight|place)$"),
    )
    known, unknown = None, 0
    if tables.users is not None:
        known, unknown = _fit_users(tables.users, users, frame["user"], config, left_out)
    manifest = _manifest(config, frame, catalog, description, left_out)
    if unknown:
        manifest["unknown_users"] = unknown
    return Dataset(catalog, frame, manifest, known)


def _fit_users(
    known: pl.DataFrame, seen: pl.Series, kept: pl.Series, config: DataConfig, left_out: Counts
) -> tuple[pl.DataFrame, int]:
    """What is known of the users that are kept, a row each in their order; the rest is counted.

    Args:
        known: A row a user, in any order.
        seen: All users with an interaction.
        kept: The users of the interactions that are kept, in order.
        config: Says what happens to a user without a row.
        left_out: The counts.

    Returns:
        The rows, and the number of those that were missing and are empty.

    Raises:
        DataError: A user has no row, and `bad_rows` is `error`.
    """
    users = pl.DataFrame({"user": kept.unique(maintain_order=True)})
    absent = users.join(known, on="user", how="anti")["user"]
    if len(absent) and config.bad_rows == "error":
        place = config.users.path if config.users else config.name
        raise DataError(
            f"{place}: user '{absent[0]}' has interactions and no row; add it, "
            'or leave its columns empty with bad_rows = "skip"'
        )
    rows = left_out.setdefault("user rows", {})
    if unseen := len(known.filter(~pl.col("user").is_in(seen.implode()))):
        rows["user has no interaction"] = unseen
    if short := len(known) - unseen - (len(users) - len(absent)):
        rows[f"of users with fewer than {config.min_interactions} interactions"] = short
    return users.join(known, on="user", how="left", maintain_order="left"), len(absent)


def _drop_short(frame: pl.DataFrame, config: DataConfig, left_out: Counts) -> pl.DataFrame:
    """Leave out users with too few interactions."""
    lengths = np.bincount(frame["user"].to_numpy())
    short = lengths < config.min_interactions
    if short.all():
        problem = f"no user has {config.min_interactions} interactions or more"
        raise DataError(f"{config.name}: {problem}; give more, or lower min_interactions")
    if not short.any():
        return frame
    reason = f"fewer than {config.min_interactions} interactions"
    left_out["users"][reason] = int(short.sum())
    left_out["interactions"][f"of users with {reason}"] = int(lengths[short].sum())
    return frame.filter(~short[frame["user"].to_numpy()])


def _manifest(
    config: DataConfig, frame: pl.DataFrame, catalog: Catalog, description: str, left_out: Counts
) -> dict[str, Any]:
    return {
        "name": config.name,
        **({"source": config.source} if config.source else {}),
        "split": description,
        "seed": config.seed,
        "counts": {
            "users": frame["user"].n_unique(),
            "items": len(catalog),
            "interactions": len(frame),
            **split_sizes(frame),
        },
        "left_out": {what: reasons for what, reasons in left_out.items() if reasons},
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("numpy", "polars")},
        },
    }

"""Checked tables: a catalog, and interactions whose items are all in it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.data.checks import BLANK, Fault, sift
from rec_gen.data.config import BadRows, DataConfig, InteractionTable, ItemTable
from rec_gen.data.dataset import Split
from rec_gen.data.readers import ROW, RawTable, open_table
from rec_gen.data.times import time_reader
from rec_gen.errors import DataError


@dataclass(frozen=True)
class Tables:
    """What was read, checked but neither ordered nor split.

    Attributes:
        catalog: The items.
        interactions: `user` (string), `item` (UInt32 catalog position) and, where the input has
            them, `time` (Int64 microseconds), `rating`, `weight` (Float32) and `split` (Enum).
            Without times, a user's rows stand oldest first.
        left_out: The number of bad rows by table (`items`, `interactions`) and reason.
    """

    catalog: Catalog
    interactions: pl.DataFrame
    left_out: dict[str, dict[str, int]]


def read_tables(config: DataConfig) -> Tables:
    """Read own tables.

    Raises:
        DataError: A table lacks a column, cannot be read, or has a bad row.
    """
    assert config.items and config.interactions  # noqa: S101
    catalog, bad_items = read_items(open_table(config.items.path), config.items, config.bad_rows)
    columns = config.interactions.model_dump(exclude={"path"}, exclude_none=True)
    parts, bad = [], Counter[str]()
    for path, split in _interaction_files(config.interactions, config):
        roles = {**columns, "split": config.split.column} if config.split.column else columns
        rows, counts = read_interactions(open_table(path), roles, catalog, config.bad_rows)
        bad.update(counts)
        if split:
            rows = rows.with_columns(pl.lit(split, pl.Enum(Split)).alias("split"))
        parts.append(rows)
    return Tables(catalog, pl.concat(parts), {"items": bad_items, "interactions": dict(bad)})

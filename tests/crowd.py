"""A data set of users who have something in common, so that who has nothing stands out."""

from typing import Any

import numpy as np
import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset, Split

USERS, ITEMS, TASTES = 400, 300, 4


def crowd_dataset() -> Dataset:
    """Users who choose popular items of one taste, so that they have something in common."""
    rng = np.random.default_rng(0)
    chances = 1 / np.arange(1, ITEMS // TASTES + 1)
    rows = []
    for user in range(USERS):
        size = int(rng.integers(15, 50))
        own = rng.choice(ITEMS // TASTES, size, replace=False, p=chances / chances.sum())
        for time, item in enumerate(own * TASTES + user % TASTES):
            split = {size - 1: Split.TEST, size - 2: Split.VALID}.get(time, Split.TRAIN)
            rows.append((f"u{user:04d}", int(item), time, split.value))
    schema: dict[str, Any] = {
        "user": pl.String,
        "item": pl.UInt32,
        "time": pl.Int64,
        "split": pl.Enum([split.value for split in Split]),
    }
    titles = [f"Film {item}" for item in range(ITEMS)]
    items = pl.DataFrame({"item": [f"i{item}" for item in range(ITEMS)], "title": titles})
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return Dataset(Catalog(items), frame, {"name": "crowd", "counts": {}})

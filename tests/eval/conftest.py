from typing import Protocol

import numpy as np
import polars as pl
import pytest

from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset, Split

USERS, ITEMS = 40, 25


class Draw(Protocol):
    def __call__(self, seed: int, held_out_seed: int | None = None) -> Dataset: ...


@pytest.fixture
def draw() -> Draw:
    """Draws a leave-one-out data set; `held_out_seed` redraws its valid and test items only."""
    return _draw


def _draw(seed: int, held_out_seed: int | None = None) -> Dataset:
    generator = np.random.default_rng(seed)
    held_out = generator if held_out_seed is None else np.random.default_rng(held_out_seed)
    lengths = generator.integers(2, 9, size=USERS).tolist()
    trained = [generator.integers(ITEMS, size=length).tolist() for length in lengths]
    items = [
        item for past in trained for item in (*past, *held_out.integers(ITEMS, size=2).tolist())
    ]
    splits = [
        split
        for length in lengths
        for split in (Split.CONTEXT, *[Split.TRAIN] * (length - 1), Split.VALID, Split.TEST)
    ]
    frame = pl.DataFrame(
        {
            "user": [f"u{user}" for user in range(USERS) for _ in range(lengths[user] + 2)],
            "item": pl.Series(items, dtype=pl.UInt32),
            "time": pl.Series([None] * len(items), dtype=pl.Int64),
            "split": pl.Series(splits, dtype=pl.Enum(Split)),
        }
    )
    ids = [f"i{place}" for place in range(ITEMS)]
    catalog = Catalog(pl.DataFrame({"item": ids, "title": [f"title of {item}" for item in ids]}))
    return Dataset(catalog, frame, {"name": "random"})

"""A small bundle of several catalogs: films, books that share two titles with them, and a shop."""

from pathlib import Path
from typing import Any

import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset
from tests.toy import ITEMS, toy_dataset, toy_recipe
from training.recipe import Recipe

SHARED = {0: "films 3", 5: "films 4"}
"""By the place of a book, the title of the film that it has too."""


def named(name: str, titles: dict[int, str] | None = None, **columns: Any) -> Dataset:
    """A toy data set whose items have titles of its own, but for some."""
    dataset = toy_dataset(seed=len(name))
    frame = dataset.catalog.frame.with_columns(
        pl.Series("title", [(titles or {}).get(i, f"{name} {i}") for i in range(ITEMS)]),
        *(pl.Series(column, [value] * ITEMS) for column, value in columns.items()),
    )
    return Dataset(Catalog(frame), dataset.frame, {"name": name})


def several(folder: Path, scheme: str = "item", score: str = "catalog") -> Recipe:
    """Learn films and half of the readers of books, and nothing of the shop; data is kept here."""
    for dataset in (named("films"), named("books", SHARED), named("shop")):
        (folder / dataset.name).mkdir(parents=True)
        dataset.save(folder / dataset.name)
    return toy_recipe(
        data={"source": None, "prepared": str(folder / "films")},
        spelling={"scheme": scheme},
        train={"score": score},
        prior={},
        domains=[
            {
                "name": "read",
                "template": "next_item_direct",
                "weight": 2.5,
                "data": {"prepared": str(folder / "books"), "share": 0.5},
            },
            {"name": "new", "data": {"prepared": str(folder / "shop"), "share": 0}},
        ],
    )

"""Several catalogs in one bundle, from the recipe to the lists."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset
from rec_gen.recommender import Recommender
from tests.toy import toy_dataset, toy_recipe
from training.domains import unite
from training.sft import train


def named(name: str, seed: int, titles: dict[int, str] | None = None, **columns: Any) -> Dataset:
    """A toy data set whose items have titles of their own, but for some."""
    dataset = toy_dataset(seed=seed)
    frame = dataset.catalog.frame.with_columns(
        pl.Series("title", [(titles or {}).get(i, f"{name} {i}") for i in range(12)]),
        *(pl.Series(column, [value] * 12) for column, value in columns.items()),
    )
    return Dataset(Catalog(frame), dataset.frame, {"name": name})


def saved(dataset: Dataset, folder: Path) -> str:
    folder.mkdir()
    dataset.save(folder)
    return str(folder)

@pytest.mark.parametrize("score", ["lm", "catalog"])
@pytest.mark.parametrize("scheme", ["item", "title"])
def test_one_bundle_knows_several_catalogs(tmp_path: Path, scheme: str, score: str) -> None:
    films = named("films", 0)
    books = named("books", 1, {0: "films 3"})
    data = [saved(books, tmp_path / "books"), saved(named("shop", 2), tmp_path / "shop")]
    recipe = toy_recipe(
        spelling={"scheme": scheme},
        train={"score": score},
        prior={},
        domains=[
            {"name": "read", "data": {"prepared": data[0]}, "template": "next_item_direct"},
            {"name": "new", "data": {"prepared": data[1], "share": 0}},
        ],
    )
    path = train(recipe, films, tmp_path / "run")
    bundle = Bundle.load(path)
    print(bundle.manifest.metrics, bundle.manifest.domains["read"].metrics)
    for name in ("read", "new"):
        r = Recommender.load(path, domain=name)
        print(r.recommend([["i0"]], k=3)[0])

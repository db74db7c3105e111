import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import pytest

from eval.evaluate import evaluate
from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset, Split
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from tests.eval.experiments import make_place
from tests.toy import ITEMS as TOYS
from tests.toy import rated, toy_dataset

USERS, ITEMS = 40, 25


BRANDS = ["<b>bold</b>", "</script><script>document.title = 'taken'</script>", "$C_1$ & co"]
"""Brands that a page must show as they are."""


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


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, the base model and the bundle of small experiments with prompts."""
    return make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an evaluation of random weights, sliced by brands that are markup."""
    toy = rated(toy_dataset(users=60))
    brands = pl.Series("brand", [BRANDS[item % 3] for item in range(TOYS)])
    catalog = Catalog(toy.catalog.frame.with_columns(brands))
    dataset = Dataset(catalog, toy.frame, {"name": "toys <i>& co</i>"})
    bundle = random_bundle(catalog, "item")
    manifest = bundle.manifest.model_copy(update={"fingerprint": dataset.fingerprint})
    bundle = replace(bundle, manifest=manifest)
    result = evaluate(
        Recommender(bundle), dataset, Split.TEST, exclude_seen=False, seed=0,
        columns=["brand"], bundle=bundle, unconstrained=3,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("evaluated") / "result.json"
    result.save(path)
    return path


@pytest.fixture
def whole(evaluated: Path) -> dict[str, Any]:
    """The same with every section that an evaluation can have."""
    return every_section(evaluated)


def every_section(evaluated: Path) -> dict[str, Any]:
    """An evaluation with the optional sections added to it."""
    table: dict[str, Any] = json.loads(evaluated.read_text(encoding="utf-8"))
    interval = {"mean": 0.7, "low": 0.6, "high": 0.8}
    worse = {"mean": -0.2, "low": -0.3, "high": -0.1, "p": 0.01, "p_holm": 0.02, "detectable": 0.1}
    bins = [{"predicted": at / 4, "observed": at / 5, "pairs": 10 + at} for at in range(4)]
    return table | {
        "reliability": bins,
        "categories": {
            "column": "brand",
            "names": BRANDS,
            "history": [0.5, 0.3, 0.2],
            "lists": {"model": [0.4, 0.3, 0.3], "EASE": [0.9, 0.1, 0.0]},
        },
        "ratings": {
            "pairs": 46,
            "liked_from": 4.0,
            "differences": {"mean rating": {"accuracy": worse, "log_loss": worse}},
            "systems": {"model": {"auc": interval, "f1": interval}},
            "reliability": {"model": bins, "mean rating": bins[1:]},
        },
    }


@pytest.fixture
def curves() -> dict[str, Any]:
    """The curves of a run, as a table."""
    return run_curves()


def run_curves() -> dict[str, Any]:
    """Made up curves of a run."""
    losses = [{"step": at, "tokens": 9000 * at, "value": 5 / at} for at in range(1, 7)]
    validations = [
        {"step": at, "tokens": 9000 * at, "loss": 1.0, "validation_loss": 6 / at, "ndcg": at / 20,
         "recall": at / 10}
        for at in (2, 4, 6)
    ]  # fmt: skip
    return {"losses": losses, "validations": validations}

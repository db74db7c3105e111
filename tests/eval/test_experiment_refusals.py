"""What an experiment with prompts refuses, and names."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from eval.experiment import run_experiment
from eval.experiment_blocks import Answered, read_block
from eval.experiment_config import ExperimentConfig
from eval.page_data import ExperimentResult, read_result
from eval.page_experiment import experiment_document
from rec_gen.catalog import Catalog
from rec_gen.config import parse_config
from rec_gen.data.dataset import Dataset
from rec_gen.errors import ConfigError, DataError
from rec_gen.testing import random_bundle
from tests.eval.experiments import config, table
from tests.toy import toy_dataset


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"templates": [{"template": "nothing"}]}, "key 'templates.0.template': .*no template"),
        ({"templates": [{"template": "rating"}]}, "key 'templates.0.template': .*task rating"),
        ({"templates": [{"template": "next_item"}] * 2}, "key 'templates': .*two are called"),
        ({"templates": []}, "key 'templates': "),
        ({"models": [{}]}, "key 'models.0': .*give a base or a bundle"),
        ({"models": [{"bundle": "nowhere"}]}, "key 'models.0.bundle': .*nowhere is not a bundle"),
        ({"models": [{"bse": "x"}]}, r"key 'models.0.bse': .*\(and 1 more\)"),
        ({"history": [2, 2]}, "key 'history': .*each once"),
        ({"baseline": "none"}, "key 'baseline': .*no arm is called 'none'; choose one of next_i"),
        ({"user": 3}, "key 'user': "),
        (
            {
                "templates": [
                    {"template": "next_item", "name": "t"},
                    {"template": "shop_next", "name": "t / b"},
                ],
                "models": [{"base": "x", "name": "b / c"}, {"base": "y", "name": "c"}],
            },
            "key 'models': .*two arms are called 't / b / c'",
        ),
        ({"score": "best"}, "key 'score': "),
    ],
)
def test_a_wrong_key_is_named(place: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^my.toml: {message}") as caught:
        parse_config(ExperimentConfig, table(place, **changes), origin="my.toml")
    assert "\n" not in str(caught.value)


def test_a_split_without_so_many_users_is_an_error(place: Path) -> None:
    with pytest.raises(ConfigError, match="key 'users': the split 'test' of toy holds 24 users"):
        run_experiment(config(place, users=25), place / "few")


def test_a_bundle_of_other_data_is_refused_or_recorded(place: Path, tmp_path: Path) -> None:
    random_bundle(toy_dataset().catalog, "item").save(tmp_path / "other")
    models = [{"base": str(place / "base")}, {"bundle": str(tmp_path / "other"), "name": "other"}]
    mixed = config(place, models=models, templates=[{"template": "next_item"}])
    name = "bundle-trained-on-this-data"
    with pytest.raises(DataError, match=f"leak {name}: .*--allow-leak {name}"):
        run_experiment(mixed, tmp_path / "found")
    assert not (tmp_path / "found").exists()
    found = run_experiment(mixed, tmp_path / "found", [name])
    base, other = (check for check in found.leaks if check.name == name)
    assert (base.status, base.note) == ("not applicable", "base: there is no bundle")
    assert (other.status, other.note[:18]) == ("allowed", "other: the bundle ")
    longer = toy_dataset().catalog.frame.with_columns(pl.col("item") + "x")
    random_bundle(Catalog(longer), "item").save(tmp_path / "longer")
    models = [{"bundle": str(tmp_path / "longer")}]
    with pytest.raises(DataError, match="longer: spells another catalog than that of toy"):
        run_experiment(config(place, models=models), tmp_path / "found", [name])


def test_an_item_planted_in_the_training_histories_is_caught(place: Path, tmp_path: Path) -> None:
    dataset = Dataset.load(place / "data")
    held = dataset.frame.filter(split="test").row(3, named=True)
    first = pl.int_range(pl.len()).over("user") == 1
    planted = pl.when(first, pl.col("user") == held["user"])
    frame = dataset.frame.with_columns(
        item=planted.then(pl.lit(held["item"], pl.UInt32)).otherwise("item"),
        time=planted.then(pl.lit(held["time"])).otherwise("time"),
    )
    (tmp_path / "leaky").mkdir()
    Dataset(dataset.catalog, frame, dataset.manifest).save(tmp_path / "leaky")
    leaky = config(place, data={"prepared": str(tmp_path / "leaky")})
    name = "target-in-history-of-training"
    with pytest.raises(DataError, match=f"leak {name}: row .*user '{held['user']}'"):
        run_experiment(leaky, tmp_path / "found")
    assert not (tmp_path / "found").exists()
    found = run_experiment(leaky, tmp_path / "found", [name])
    assert [check.name for check in found.leaks if check.status == "allowed"] == [name]
    text = StringIO()
    found.render(Console(file=text, width=100))
    assert f"allowed leak {name}: row " in text.getvalue()
    found.save(tmp_path / "experiment.json")
    kept = read_result(tmp_path / "experiment.json")
    assert isinstance(kept, ExperimentResult)
    assert kept.leaks == found.leaks
    titles = [section.title for section in experiment_document(kept, "").sections]
    assert "Checks for leaks" in titles
    with pytest.raises(ConfigError, match="--allow-leak none: is not one of target-in-history"):
        run_experiment(leaky, tmp_path / "none", ["none"])


ROW = {
    "items": ["i1", "i2"], "rank": 1, "certified": True, "tokens": 9, "shown": 4, "left_out": 0,
    "seconds": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    "rows",
    [
        "[",
        [{"rank": 1}],
        [ROW | {"rank": "1"}],
        [ROW | {"rank": 2}],
        [ROW | {"rank": -1}],
        [ROW | {"seconds": None}],
        [ROW | {"items": None}],
        [ROW] * 2,
        [ROW] * 4,
        {},
    ],
)
def test_a_damaged_block_is_refused(rows: object, tmp_path: Path) -> None:
    file = tmp_path / "block.json"
    assert read_block(file, 3) is None
    file.write_text(json.dumps([ROW] * 3))
    assert read_block(file, 3) == [Answered(**ROW)] * 3  # type: ignore[arg-type]
    if isinstance(rows, list) and len(rows) == 1:
        rows = [ROW, *rows, ROW]
    file.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    with pytest.raises(DataError, match=r"block.json: is damaged: remove it"):
        read_block(file, 3)

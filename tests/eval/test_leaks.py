from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from eval.leaks import CHECKS, FEWEST_TIES, LeakCheck, check_leaks
from rec_gen.bundle import Bundle
from rec_gen.config import parse_config
from rec_gen.data.config import DataConfig
from rec_gen.data.dataset import Dataset
from rec_gen.data.prepare import load_dataset, prepare
from rec_gen.errors import ConfigError, DataError
from rec_gen.testing import random_bundle
from tests.data.shop import shop
from tests.toy import toy_dataset

NAMES = list(CHECKS)


def status(dataset: Dataset, name: str, bundle: Bundle | None = None) -> str:
    checks = {check.name: check for check in check_leaks(dataset, bundle, NAMES)}
    return checks[name].status


def edited(dataset: Dataset, row: int, **cells: Any) -> Dataset:
    here = pl.int_range(pl.len()) == row
    changes = {
        name: pl.when(here).then(pl.lit(value)).otherwise(name).cast(dataset.frame[name].dtype)
        for name, value in cells.items()
    }
    return Dataset(dataset.catalog, dataset.frame.with_columns(**changes), dataset.manifest)


def bundle_of(dataset: Dataset) -> Bundle:
    bundle = random_bundle(dataset.catalog, "item")
    known = bundle.manifest.model_copy(update={"fingerprint": dataset.fingerprint})
    return replace(bundle, manifest=known)


def tied(folder: Path, kind: str = "leave-one-out") -> Dataset:
    """Prepared from a file in which items stand in the order of the catalog, most of them tied."""
    ids = [f"p{item:02}" for item in range(20)]
    items = "\n".join(["item,title", *(f"{item},Product {item}" for item in ids)])
    rows = [
        f"u{user},{item},{86_400 * (place // 5 + user % 9)}"
        for user in range(40)
        for place, item in enumerate(ids)
    ]
    config = shop(folder, "\n".join(["user,item,time", *rows]), items, split={"kind": kind})
    return prepare(config, folder / kind)


def test_clean_data_passes_every_check(tmp_path: Path) -> None:
    for kind in ("leave-one-out", "global-time"):
        dataset = tied(tmp_path, kind)
        found = {check.name: check for check in check_leaks(dataset, bundle_of(dataset))}
        assert list(found) == NAMES
        others = {name for name in NAMES if found[name].status != "passed"}
        assert others == ({"future-in-training"} if kind == "leave-one-out" else set())
        assert "pairs tied in time" in found["ties-in-file-order"].note


@pytest.mark.parametrize("source", ["movielens-100k", "minionerec-industrial", "opendialkg"])
def test_named_data_sets_pass(source: str) -> None:
    try:
        dataset = load_dataset(parse_config(DataConfig, {"source": source}))
    except DataError as error:
        pytest.skip(str(error))
    assert {check.status for check in check_leaks(dataset)} <= {"passed", "not applicable"}


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_held_out_interaction_in_training_is_caught(split: str) -> None:
    dataset = toy_dataset()
    frame = dataset.frame.with_row_index("row")
    row, user, item, time = frame.filter(split=split).select("row", "user", "item", "time").row(3)
    # the last training row of this user becomes the held-out interaction, told at its time
    last = frame.filter(user=user, split="train")["row"][-1]
    leaky = edited(dataset, last, item=item, time=time)
    message = (
        rf"^toy: leak target-in-history-of-training: row {row}: user '{user}': item 'i{item}' of "
        rf"the {split} split .*row {last}.*: remove .*--allow-leak target-in-history-of-training$"
    )
    with pytest.raises(DataError, match=message):
        check_leaks(leaky)


def test_a_held_out_row_that_training_reads_is_caught() -> None:
    dataset = toy_dataset()
    swapped = dataset.frame["split"].to_list()
    swapped[6], swapped[8] = "test", "train"
    frame = dataset.frame.with_columns(split=pl.Series(swapped, dtype=dataset.frame["split"].dtype))
    late = Dataset(dataset.catalog, frame, dataset.manifest)
    assert status(late, "target-in-history-of-training") == "allowed"


def test_a_repeat_that_happened_earlier_is_no_leak() -> None:
    dataset = toy_dataset()
    frame = dataset.frame.with_row_index("row")
    row, user, item = frame.filter(split="test").select("row", "user", "item").row(3)
    first = frame.filter(user=user, split="train")["row"][0]
    repeated = edited(dataset, first, item=item)
    assert repeated.frame["item"][row] == repeated.frame["item"][first]
    assert status(repeated, "target-in-history-of-training") == "passed"
    timeless = repeated.frame.with_columns(time=pl.lit(None, pl.Int64))
    untimed = Dataset(dataset.catalog, timeless, dataset.manifest)
    assert status(untimed, "target-in-history-of-training") == "passed"


@pytest.mark.parametrize(("delay", "expected"), [(-1, "passed"), (0, "allowed"), (5, "allowed")])
def test_training_at_or_after_the_cut_is_caught(tmp_path: Path, delay: int, expected: str) -> None:
    dataset = tied(tmp_path, "global-time")
    cut = dataset.frame.filter(split="valid")["time"].min()
    assert isinstance(cut, int)
    last = int((dataset.frame["split"] == "train").arg_true()[-1])
    leaky = edited(dataset, last, time=cut + delay)
    assert status(leaky, "future-in-training") == expected
    if expected == "allowed":
        user = dataset.frame["user"][last]
        with pytest.raises(DataError, match=rf"future-in-training: row {last}: user '{user}'"):
            check_leaks(leaky)


def test_a_cut_within_a_second_is_no_leak(tmp_path: Path) -> None:
    rows = [f"u{n},{'abc'[n % 3]},2020-01-01T00:00:0{n // 10}.{n % 10}" for n in range(60)]
    split = {"kind": "global-time", "valid": 0.25, "test": 0.3}
    table = "\n".join(["user,item,time", *rows])
    config = shop(tmp_path, table, split=split, min_interactions=1)
    dataset = prepare(config, tmp_path / "out")
    assert "valid from 2020-01-01T00:00:02.700" in dataset.manifest["split"]
    seconds = [set(dataset.frame.filter(split=name)["time"]) for name in ("train", "valid")]
    assert seconds[0] & seconds[1]
    assert status(dataset, "future-in-training") == "passed"


@pytest.mark.parametrize("other", [[4, 5], [4, 5, 6]])
def test_colliding_spellings_are_caught(other: Sequence[int]) -> None:
    dataset = toy_dataset()
    bundle = bundle_of(dataset)
    tokens = list(bundle.spellings.tokens)
    tokens[2], tokens[7] = np.array([4, 5], np.int32), np.array(other, np.int32)
    spoilt = replace(bundle, spellings=replace(bundle.spellings, tokens=tokens))
    message = r"colliding-spellings: row 2: the spelling of item 'i2' .* of item 'i7' \(row 7\)"
    with pytest.raises(DataError, match=message):
        check_leaks(dataset, spoilt)


@pytest.mark.parametrize("reverse", [False, True])
def test_ties_in_the_order_of_the_catalog_are_caught(tmp_path: Path, reverse: bool) -> None:
    dataset = tied(tmp_path)
    frame = dataset.frame.sort("user", "time", "item", descending=[False, False, reverse])
    frame = frame.with_columns(dataset.frame["split"])
    sorted_ties = Dataset(dataset.catalog, frame, dataset.manifest)
    first = dataset.catalog.ids[frame["item"][0]]
    with pytest.raises(DataError, match=rf"ties-in-file-order: .* p = .*row 0: .* '{first}'"):
        check_leaks(sorted_ties)
    few = Dataset(dataset.catalog, frame.head(FEWEST_TIES), dataset.manifest)
    assert status(few, "ties-in-file-order") == "not applicable"


def test_a_bundle_of_other_data_is_caught() -> None:
    dataset = toy_dataset()
    bundle = bundle_of(toy_dataset(seed=1))
    with pytest.raises(DataError, match=r"bundle-trained-on-this-data: the bundle 'random'"):
        check_leaks(dataset, bundle)


def test_an_allowed_leak_is_recorded() -> None:
    dataset = toy_dataset()
    name = "bundle-trained-on-this-data"
    found = check_leaks(dataset, bundle_of(toy_dataset(seed=1)), [name])
    assert found[-1].status == "allowed"
    assert "was trained on" in found[-1].note
    assert [check.status for check in found[:3]] == ["passed", "not applicable", "passed"]
    assert isinstance(found[0], LeakCheck)


def test_an_unknown_check_is_told() -> None:
    with pytest.raises(ConfigError, match=r"--allow-leak none: is not one of target-in-history"):
        check_leaks(toy_dataset(), None, ["none"])

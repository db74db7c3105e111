"""Preparing, storing and summing up a data set."""

import os
import re
from pathlib import Path

import pytest

from rec_gen.config import load_config, parse_config
from rec_gen.data.config import DataConfig
from rec_gen.data.dataset import Dataset
from rec_gen.data.prepare import load_dataset, prepare, summarize
from rec_gen.errors import DataError
from tests.data.shop import INTERACTIONS, ITEMS, shop


def test_what_is_prepared_loads_again(tmp_path: Path) -> None:
    prepared = prepare(shop(tmp_path), tmp_path / "out")
    loaded = load_dataset(DataConfig(prepared=tmp_path / "out"))
    assert loaded.fingerprint == prepared.fingerprint
    assert loaded.manifest == prepared.manifest
    assert loaded.frame.equals(prepared.frame)
    assert loaded.catalog.frame.rows()[2] == ("c", "Candle", None)


def test_frame(tmp_path: Path) -> None:
    assert prepare(shop(tmp_path), tmp_path / "out").frame.rows() == [
        ("u", 0, 1, "train"), ("u", 1, 2, "valid"), ("u", 2, 3, "test"),
        ("v", 2, 1, "train"), ("v", 1, 2, "valid"), ("v", 0, 3, "test"),
    ]  # fmt: skip


def test_changed_file_is_noticed(tmp_path: Path) -> None:
    prepare(shop(tmp_path), tmp_path / "out")
    items = tmp_path / "out" / "items.parquet"
    catalog = Dataset.load(tmp_path / "out").catalog
    catalog.frame.reverse().write_parquet(items)
    with pytest.raises(DataError, match="was changed since it was prepared"):
        Dataset.load(tmp_path / "out")


def test_cache_follows_input_and_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECGEN_CACHE", str(tmp_path / "cache"))

    def stored() -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in (tmp_path / "cache/prepared").iterdir()}

    config = shop(tmp_path)
    prepared = load_dataset(config)
    first = stored()
    assert load_dataset(config).fingerprint == prepared.fingerprint
    assert stored() == first
    load_dataset(config.model_copy(update={"seed": 1}))
    second = stored()
    assert len(second) == 2
    (tmp_path / "sales.csv").write_text(INTERACTIONS + "u,a,4\n")
    assert load_dataset(config).manifest["counts"]["interactions"] == 7
    assert len(stored()) == 3


def test_nothing_left_out(tmp_path: Path) -> None:
    assert summarize(prepare(shop(tmp_path), tmp_path / "out")) == [
        "shop: 2 users, 3 items, 6 interactions",
        "split: leave-one-out: 2 train, 2 valid, 2 test",
        "nothing was left out",
    ]


def test_each_reason_is_shown_with_its_count(tmp_path: Path) -> None:
    sales = INTERACTIONS + "w,a,1\nw,b,2\nu,x,4\nu,y,4\nu,a,later\n\n"
    config = shop(tmp_path, sales, ITEMS + "d,\n", bad_rows="skip")
    assert summarize(prepare(config, tmp_path / "out"))[2:] == [
        "left out: 1 user: fewer than 3 interactions",
        "left out: 1 item: title is empty",
        "left out: 1 interaction: blank line",
        "left out: 2 interactions: item is not in the catalog",
        "left out: 1 interaction: time is empty or unreadable",
        "left out: 2 interactions: of users with fewer than 3 interactions",
    ]


def test_split_is_described_by_its_cuts(tmp_path: Path) -> None:
    sales = "user,item,time\n" + "".join(f"u,a,2024-01-{day:02}\n" for day in range(1, 11))
    dates = {"valid_from": "2024-01-05", "test_from": "2024-01-09"}
    split = {"kind": "global-time", **dates}
    manifest = prepare(shop(tmp_path, sales, split=split), tmp_path / "out").manifest
    cuts = "valid from 2024-01-05T00:00:00, test from 2024-01-09T00:00:00 UTC"
    assert manifest["split"] == f"global-time, {cuts}"
    assert manifest["counts"] | {"train": 4, "valid": 4, "test": 2} == manifest["counts"]


def test_failed_preparation_keeps_what_was_there(tmp_path: Path) -> None:
    prepared = prepare(shop(tmp_path), tmp_path / "out")
    with pytest.raises(DataError):
        prepare(shop(tmp_path, INTERACTIONS.replace("u,a", "u,x")), tmp_path / "out")
    assert Dataset.load(tmp_path / "out").fingerprint == prepared.fingerprint


def test_configuration_survives_being_stored(tmp_path: Path) -> None:
    split = {"kind": "global-time", "valid_from": "2024-01-05", "test_from": "2024-01-09"}
    config = shop(tmp_path, split=split)
    assert parse_config(DataConfig, config.model_dump(mode="json")) == config
    assert parse_config(DataConfig, config.model_dump(exclude_unset=True)) == config


def test_example_of_the_guide_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", guide, re.DOTALL))
    for name, text in blocks.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    dataset = prepare(load_config(DataConfig, Path("shop.toml")), Path("shop"))
    shown = re.search(r"```text\n(.*?)```", guide, re.DOTALL)
    assert shown
    assert summarize(dataset) == shown.group(1).splitlines()


def test_equal_looking_files_elsewhere_are_other_data(tmp_path: Path) -> None:
    prepared = []
    for name, user in (("a", "ann"), ("b", "bob")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "[1].csv").write_text(
            "user,item,time\n" + "".join(f"{user},x,{t}\n" for t in "123")
        )
        (folder / "items.csv").write_text("item,title\nx,X\n")
        for file in folder.iterdir():
            os.utime(file, ns=(0, 0))
        tables = {
            "interactions": {"path": folder / "[1].csv"},
            "items": {"path": folder / "items.csv"},
        }
        prepared.append(load_dataset(DataConfig.model_validate(tables)).users)
    assert prepared == [["ann"], ["bob"]]

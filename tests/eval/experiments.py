"""A small experiment with prompts, and what its files hold."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.experiment_config import ExperimentConfig
from rec_gen.config import parse_config
from rec_gen.testing import random_bundle
from tests.toy import rated, tiny_base, toy_dataset

USERS = 10


def make_place(folder: Path) -> Path:
    """A data set, an untuned base model and a bundle."""
    (folder / "data").mkdir()
    dataset = rated(toy_dataset())
    dataset.save(folder / "data")
    tiny_base(folder / "base")
    bundle = random_bundle(dataset.catalog, "item")
    manifest = bundle.manifest.model_copy(update={"fingerprint": dataset.fingerprint})
    replace(bundle, manifest=manifest).save(folder / "bundle")
    return folder


def table(place: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "toy",
        "data": {"prepared": str(place / "data")},
        "users": USERS,
        "exact": True,
        "exclude_seen": False,
        "history": [4],
        "block": 3,
        "templates": [
            {"template": "next_item", "group": "wordings"},
            {"template": "next_item_direct", "group": "wordings"},
            {"template": "shop_next"},
        ],
        "models": [{"base": str(place / "base")}],
        **changes,
    }


def config(place: Path, **changes: Any) -> ExperimentConfig:
    return parse_config(ExperimentConfig, table(place, **changes))


def without_times(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for arm in read["arms"].values():
        assert set(arm.pop("times")) == {"latency_median_s", "latency_p95_s", "tokens_per_s"}
    return read


def blocks(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in (folder / "blocks").glob("*.json")}

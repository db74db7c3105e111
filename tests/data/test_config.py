"""What a configuration refuses, and what it fills in."""

import subprocess
import sys
from typing import Any

import pytest

from rec_gen.config import parse_config
from rec_gen.data.config import DataConfig
from rec_gen.errors import ConfigError

TABLES = {"interactions": {"path": "my sales.csv"}, "items": {"path": "items.csv"}}


def parse(**table: Any) -> DataConfig:
    return parse_config(DataConfig, table)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "give a source, or both tables"),
        ({"source": "movielens-100k", **TABLES}, "not both"),
        ({"interactions": {"path": "x.csv"}}, "both tables interactions and items"),
        ({"source": "netflix"}, "key 'source': Input should be 'movielens-100k'"),
        ({"source": "movielens-1m", "min_interactions": 2}, "at least 3"),
        ({"source": "movielens-1m", "split": {"kind": "given"}}, "has no given split"),
        ({"source": "opendialkg", "split": {"kind": "given", "column": "x"}}, "brings its split"),
        ({**TABLES, "split": {"kind": "given"}}, "needs split.column, or valid_path and test_path"),
        ({**TABLES, "split": {"kind": "given", "valid_path": "v.csv"}}, "needs split.column"),
        (
            {**TABLES, "split": {"kind": "given", "column": "x", "valid_path": "v.csv"}},
            "needs split.column",
        ),
        ({**TABLES, "split": {"valid": 0.2}}, "the split 'leave-one-out' has no key 'valid'"),
        ({**TABLES, "split": {"kind": "global-time", "valid": 0.6, "test": 0.5}}, "less than 1"),
        ({**TABLES, "split": {"kind": "global-time", "test_from": "2024-01-01"}}, "or neither"),
        (
            {
                **TABLES,
                "split": {
                    "kind": "global-time", "valid_from": "2024-02-01", "test_from": "2024-01-01"
                },
            },
            "valid_from must be earlier",
        ),
        (
            {
                **TABLES,
                "split": {
                    "kind": "global-time", "valid_from": "2023-02-01", "test_from": "2024-01-01",
                    "test": 0.2,
                },
            },
            "give shares",
        ),
    ],
)  # fmt: skip
def test_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(DataConfig, table)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"split": {"kind": "global-time"}}, {"min_interactions": 20}, {"bad_rows": "skip"},
        {"mask": {}},
    ],
)  # fmt: skip
def test_a_prepared_folder_is_as_it_was_prepared(change: dict[str, Any]) -> None:
    plain = parse(prepared="data/shop", share=0.5, seed=3)
    assert parse(**plain.model_dump()) == plain
    (key,) = change
    message = f"{key} is for tables; a prepared folder is read as it is"
    with pytest.raises(ConfigError, match=message):
        parse(prepared="data/shop", **change)


def test_defaults_of_sources() -> None:
    beauty, industrial = parse(source="amazon2014-beauty"), parse(source="minionerec-industrial")
    assert (beauty.name, beauty.split.kind, beauty.min_interactions) == (
        "amazon2014-beauty", "leave-one-out", 3,
    )  # fmt: skip
    assert (industrial.split.kind, industrial.min_interactions) == ("given", 1)
    assert parse(**TABLES).name == "my-sales"


def test_configuration_loads_no_table_library() -> None:
    code = "import sys, rec_gen.data.config; print({'polars', 'numpy', 'torch'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "set()"

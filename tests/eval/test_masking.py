"""The benchmark of masking at a small size."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from eval.benchmarks.masking import is_hidden, main, measure, share
from eval.benchmarks.masking_cases import FORMS, Case
from rec_gen.data.config import DataConfig
from rec_gen.data.prepare import load_dataset
from rec_gen.errors import DataError


def test_the_benchmark_counts_what_is_hidden_and_what_is_wrong() -> None:
    case = Case("call 12-34 now", "PHONE_NUMBER", "any", 5, 10)
    assert is_hidden(case, [("PHONE_NUMBER", 5, 7), ("URL", 8, 10)])
    assert not is_hidden(case, [("PHONE_NUMBER", 5, 9)])
    assert share(0, 0) == {"n": 0}
    assert share(5, 10) == {"n": 10, "share": 0.5, "low": 0.2366, "high": 0.7634}

    found = measure(lambda text: [("PHONE_NUMBER", 5, len(text) - 4), ("URL", 0, 4)], [case], [])
    assert (
        found["recall"]["PHONE_NUMBER"]["share"] == found["precision"]["PHONE_NUMBER"]["share"] == 1
    )


def test_it_writes_what_it_found(tmp_path: Path) -> None:
    try:
        load_dataset(DataConfig(source="movielens-100k"))
    except DataError as error:
        pytest.skip(str(error))
    arguments = ["--each", "1", "--most", "5", "--data", "movielens-100k"]
    done = CliRunner().invoke(main, [*arguments, "--json", str(tmp_path / "masking.json")])
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "masking.json").read_text())["figures"]
    assert list(figures["found"]) == ["masker", "as shipped", "two patterns"]
    assert list(figures["found"]["masker"]["forms"]) == [", ".join(each) for each in FORMS]
    assert figures["found"]["masker"]["false_alarms"]["movielens-100k, titles"]["n"] == 5

"""The benchmarks run; what they measure is not looked at."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from eval.benchmarks import prepare, promise, swaps
from rec_gen.data.dataset import Dataset


def figures(command: Any, file: Path, *options: str) -> dict[str, float]:
    result = CliRunner().invoke(command, ["--json", str(file), *options])
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text())
    assert {"machine", "versions"} <= set(report)
    return dict(report["figures"])


def test_promise_counts_nothing_illegal(movielens: Dataset, tmp_path: Path) -> None:
    assert len(movielens.catalog) == 1682
    found = figures(promise.main, tmp_path / "f.json", "--recommendations", "300")
    assert found == {"recommendations": 300, "invalid": 0, "duplicate": 0}


def test_prepare_reports_time_and_memory(tmp_path: Path) -> None:
    found = figures(prepare.main, tmp_path / "f.json", "--rows", "5000")
    assert found["rows"] == 5000
    assert found["peak_gb"] > 0


def test_swaps_finds_no_invalid_answer_and_no_leak(tmp_path: Path) -> None:
    found = figures(swaps.main, tmp_path / "f.json", "--swaps", "30", "--titles", "50")
    assert found["swaps"] == 30
    assert found["answers"] >= 4
    assert found["invalid_answers"] == 0
    assert found["indexes_alive"] == 1
    assert found["add_one_of_50_ms"] > 0

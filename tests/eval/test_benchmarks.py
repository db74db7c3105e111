"""The benchmarks run; what they measure is not looked at."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from eval.benchmarks import prepare, promise
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

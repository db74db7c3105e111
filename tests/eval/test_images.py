"""The benchmark of images in prompts, at a small size."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from eval.benchmarks.images import main, share


def test_counts_what_holds_of_each_architecture(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    sizes = {"items": 15, "requests": 3, "vllm-requests": 0, "steps": 0, "rounds": 0}
    options = [part for name, size in sizes.items() for part in (f"--{name}", str(size))]
    result = CliRunner().invoke(main, [*options, "--json", str(file)])
    assert result.exit_code == 0, result.output
    record = json.loads(file.read_text())
    assert {"machine", "versions", "seed", "sizes"} <= set(record)
    for kind in ("idefics3", "llava"):
        found = {
            name: record["figures"][f"{kind}_{name}"] for name in ("requests", "invalid_answers")
        }
        assert found == {"requests": 3, "invalid_answers": 0}
        assert record["figures"][f"{kind}_scores_changed"] == 3
        assert record["figures"][f"{kind}_others_changed"] == 0
        assert record["figures"][f"{kind}_largest_difference"] < 1e-3
        assert record["details"][f"{kind}_scores_changed"]["high"] == 1


def test_a_share_has_the_exact_interval() -> None:
    none = share(0, 10)
    assert none["low"] == 0
    assert none["high"] == pytest.approx(1 - 0.025 ** (1 / 10))
    assert share(5, 10)["mean"] == 0.5

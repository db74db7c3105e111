import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from eval.benchmarks import semantic_ids
from eval.benchmarks.semantic_ids import usefulness
from rec_gen.data.dataset import Dataset, Example

CODES = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
POPULARITY = np.full(4, 0.25)


def example(history: list[int], target: int) -> Example:
    return Example("u", np.array(history, np.int32), target)


def test_codes_that_tell_the_next_one_gain_a_bit() -> None:
    found = usefulness(CODES, POPULARITY, [example([0], 1), example([2], 3)], depth=1)
    assert found["shared"] == 1
    assert found["chance"] == pytest.approx(1 / 3)  # one of the three other items
    assert found["bits"] == pytest.approx(1, abs=0.05)


def test_codes_that_tell_nothing_gain_nothing() -> None:
    found = usefulness(CODES, POPULARITY, [example([0], 2), example([2], 1)], depth=1)
    assert found == {"shared": 0, "chance": pytest.approx(1 / 3), "bits": 0}


def test_an_item_that_comes_again_is_left_out() -> None:
    both = [example([0], 0), example([0], 1), example([0, 1, 2, 3], 0)]
    found = usefulness(CODES, POPULARITY, both, depth=1)
    assert found["shared"] == 1  # the third item back is 1, and 0 is older
    assert found["chance"] == pytest.approx((1 / 3 + 1) / 2)


def test_the_benchmark_compares_sources(
    movielens: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semantic_ids, "SOURCES", (("words",), ("words", "cooccurrence")))
    file = tmp_path / "f.json"
    options = ["--json", str(file), "--data", movielens.name, "--codes", "16"]
    result = CliRunner().invoke(semantic_ids.main, options)
    assert result.exit_code == 0, result.output
    rows = json.loads(file.read_text())["figures"][movielens.name]
    assert list(rows) == [
        "words plain", "words balanced", "words+cooccurrence plain", "words+cooccurrence balanced",
    ]  # fmt: skip
    joined = rows["words+cooccurrence balanced"]
    assert joined["perplexity_1"] == pytest.approx(16, abs=0.01)
    assert joined["shared_1"] > 2 * joined["chance_1"]
    assert joined["bits_1"] > 0

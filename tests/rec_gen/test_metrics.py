import math
from collections.abc import Callable
from itertools import permutations

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    label_ranking_average_precision_score,
    ndcg_score,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from rec_gen.metrics import (
    Floats,
    Ranks,
    average_precision,
    calibration_error,
    f1,
    mrr,
    ndcg,
    precision,
    recall,
)

Metric = Callable[[Ranks, int], Floats]
METRICS: tuple[Metric, ...] = (recall, ndcg, mrr, average_precision, precision, f1)
ends_of = st.one_of(
    st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted), st.just([math.inf, math.inf])
)
ranks_of = st.lists(ends_of, min_size=1, max_size=30).map(
    lambda ends: Ranks(*np.array(ends, float).T)
)
cutoffs = st.integers(1, 30)
seeds = st.integers(0, 2**32 - 1)


def reference(scores: Floats, targets: np.ndarray, k: int) -> dict[str, Floats]:
    """What the trec_eval behind `ir_measures` says of untied scores, float64 [n] a metric."""
    measures = {"recall": R @ k, "hit": Success @ k, "ndcg": nDCG @ k, "mrr": RR @ k,
                "average_precision": AP @ k, "precision": P @ k}  # fmt: skip
    qrels = {str(row): {f"i{target}": 1} for row, target in enumerate(targets)}
    run = {
        str(row): {f"i{item}": float(score) for item, score in enumerate(line)}
        for row, line in enumerate(scores)
    }
    names = {str(measure): name for name, measure in measures.items()}
    found = {name: np.full(len(scores), np.nan) for name in measures}
    for value in ir_measures.iter_calc(list(measures.values()), qrels, run):
        found[names[str(value.measure)]][int(value.query_id)] = value.value
    both = found["precision"] + found["recall"]
    product = 2 * found["precision"] * found["recall"]
    found["f1"] = np.divide(product, both, out=np.zeros(len(both)), where=both > 0)
    return found


def untied(generator: np.random.Generator, rows: int, items: int) -> Floats:
    return generator.permuted(np.tile(np.arange(items, dtype=float), (rows, 1)), axis=1)


@given(ranks_of, cutoffs)
def test_metrics_lie_between_0_and_1_and_mrr_below_ndcg_below_recall(ranks: Ranks, k: int) -> None:
    low, middle, high = mrr(ranks, k), ndcg(ranks, k), recall(ranks, k)
    assert (low >= 0).all()
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert (high <= 1).all()
    np.testing.assert_allclose(precision(ranks, k), high / k, rtol=1e-12)


@given(ranks_of, cutoffs, cutoffs)
def test_a_longer_list_never_lowers_a_metric(ranks: Ranks, k: int, more: int) -> None:
    for metric in (recall, ndcg, mrr, average_precision):
        assert (metric(ranks, k) <= metric(ranks, k + more)).all()


@given(ranks_of, cutoffs)
def test_a_tied_target_scores_the_mean_over_the_places_it_can_take(ranks: Ranks, k: int) -> None:
    for metric in METRICS:
        expected = [
            metric(Ranks.of_places(np.arange(best, worst + 1)), k).mean()
            if math.isfinite(best)
            else 0
            for best, worst in zip(ranks.best, ranks.worst, strict=True)
        ]
        np.testing.assert_allclose(metric(ranks, k), expected, rtol=0, atol=1e-12)


@given(cutoffs)
def test_first_place_is_best_and_a_missing_target_is_0(k: int) -> None:
    best: dict[Metric, float] = {precision: 1 / k, f1: 2 / (k + 1)}
    for metric in METRICS:
        first, missing = metric(Ranks.of_places(np.array([0.0, math.inf])), k)
        assert (first, missing) == (pytest.approx(best.get(metric, 1)), 0)


def test_values_by_hand() -> None:
    ranks = Ranks.of_places(np.array([2.0, 4.0, 5.0]))
    assert recall(ranks, 5).tolist() == [1, 1, 0]
    assert ndcg(ranks, 5) == pytest.approx([1 / 2, 1 / math.log2(6), 0])
    assert mrr(ranks, 5) == pytest.approx([1 / 3, 1 / 5, 0])
    assert precision(ranks, 5) == pytest.approx([1 / 5, 1 / 5, 0])
    assert f1(ranks, 5) == pytest.approx([1 / 3, 1 / 3, 0])
    tied = Ranks(np.array([1.0, 4.0]), np.array([2.0, 7.0]))
    assert mrr(tied, 2) == pytest.approx([1 / 4, 0])
    assert recall(tied, 5) == pytest.approx([1, 1 / 4])


@given(seeds, st.integers(2, 40), st.integers(1, 45))
def test_metrics_equal_scikit_learn_without_ties(seed: int, items: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    scores, targets = untied(generator, 8, items), generator.integers(items, size=8)
    relevance = np.eye(items)[targets]
    ranks = Ranks.of_scores(scores, targets)
    assert mrr(ranks, items).mean() == pytest.approx(
        label_ranking_average_precision_score(relevance, scores), abs=1e-9
    )
    if items > 2 and k < items:
        accuracy = top_k_accuracy_score(targets, scores, k=k, labels=np.arange(items))
        assert recall(ranks, k).mean() == pytest.approx(accuracy, abs=1e-9)


@given(seeds, st.integers(2, 40), st.integers(1, 45), st.integers(1, 8))
def test_ndcg_equals_scikit_learn_whatever_is_tied(
    seed: int, items: int, k: int, levels: int
) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(levels, size=(8, items)).astype(np.float32)
    targets = generator.integers(items, size=8)
    expected = [
        ndcg_score(np.eye(items)[[target]], line[None], k=k)
        for target, line in zip(targets, scores, strict=True)
    ]
    found = ndcg(Ranks.of_scores(scores, targets), k)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@given(seeds, st.integers(1, 30), st.integers(1, 35))
def test_metrics_equal_trec_eval_without_ties(seed: int, items: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    scores, targets = untied(generator, 5, items), generator.integers(items, size=5)
    expected = reference(scores, targets, k)
    np.testing.assert_array_equal(expected["hit"], expected["recall"])
    ranks = Ranks.of_scores(scores, targets)
    for metric in METRICS:
        np.testing.assert_allclose(metric(ranks, k), expected[metric.__name__], rtol=0, atol=1e-9)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=5), cutoffs, st.data())
def test_a_tie_is_the_mean_of_trec_eval_over_all_orders(
    values: list[int], k: int, data: st.DataObject
) -> None:
    target = data.draw(st.integers(0, len(values) - 1))
    orders = np.array(list(permutations(range(len(values)))))
    scores = np.array(values) + orders / 10
    expected = reference(scores, np.full(len(orders), target), k)
    ranks = Ranks.of_scores(np.array([values], np.float32), np.array([target]))
    for metric in METRICS:
        mean = expected[metric.__name__].mean()
        np.testing.assert_allclose(metric(ranks, k), mean, rtol=0, atol=1e-9)


@given(st.lists(st.integers(0, 2), min_size=2, max_size=5), st.data())
def test_precision_recall_and_f1_are_scikit_learns_over_all_orders_of_ties(
    values: list[int], data: st.DataObject
) -> None:
    """A list of k items is the prediction that these are chosen, and the others are not."""
    items = len(values)
    target, k = data.draw(st.integers(0, items - 1)), data.draw(st.integers(1, items))
    orders = np.array(list(permutations(range(items))))
    places = np.argsort(np.argsort(-(np.array(values) + orders / 10), axis=1), axis=1)
    chosen = np.tile(np.arange(items) == target, (len(orders), 1))
    expected = precision_recall_fscore_support(
        chosen, places < k, average="samples", zero_division=0
    )
    ranks = Ranks.of_scores(np.array([values], np.float32), np.array([target]))
    for metric, mean in zip((precision, recall, f1), expected[:3], strict=True):
        np.testing.assert_allclose(metric(ranks, k), mean, rtol=0, atol=1e-9)


@given(seeds, st.integers(1, 12), st.integers(2, 9))
def test_the_calibration_error_is_the_mean_gap_of_scikit_learns_curve(
    seed: int, bins: int, size: int
) -> None:
    generator = np.random.default_rng(seed)
    probabilities = generator.permutation(np.linspace(0, 1, bins * size))
    hits = generator.random(bins * size) < probabilities
    observed, predicted = calibration_curve(hits, probabilities, n_bins=bins, strategy="quantile")
    found = calibration_error(probabilities, hits, bins)
    assert found == pytest.approx(np.abs(observed - predicted).mean(), abs=1e-9)

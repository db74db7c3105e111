import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score, top_k_accuracy_score

from rec_gen.metrics import mean_ranks, mrr, ndcg, recall

METRICS = (recall, ndcg, mrr)
ranks_of = st.lists(
    st.one_of(st.integers(0, 60).map(lambda twice: twice / 2), st.just(math.inf)),
    min_size=1,
    max_size=30,
).map(np.array)
cutoffs = st.integers(1, 30)


@given(ranks_of, cutoffs)
def test_metrics_lie_between_0_and_1_and_mrr_below_ndcg_below_recall(
    ranks: np.ndarray, k: int
) -> None:
    low, middle, high = mrr(ranks, k), ndcg(ranks, k), recall(ranks, k)
    assert (low >= 0).all()
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert (high <= 1).all()


@given(ranks_of, cutoffs, cutoffs)
def test_a_longer_list_never_lowers_a_metric(ranks: np.ndarray, k: int, more: int) -> None:
    for metric in METRICS:
        assert (metric(ranks, k) <= metric(ranks, k + more)).all()


@given(cutoffs)
def test_first_place_is_1_and_a_missing_target_is_0(k: int) -> None:
    for metric in METRICS:
        assert metric(np.array([0.0, math.inf]), k).tolist() == [1, 0]


def test_values_by_hand() -> None:
    ranks = np.array([2.0, 4.0, 5.0])
    assert recall(ranks, 5).tolist() == [1, 1, 0]
    assert ndcg(ranks, 5) == pytest.approx([1 / 2, 1 / math.log2(6), 0])
    assert mrr(ranks, 5) == pytest.approx([1 / 3, 1 / 5, 0])


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 45))
def test_metrics_equal_scikit_learn_without_ties(seed: int, items: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.permuted(np.tile(np.arange(items, dtype=np.float32), (8, 1)), axis=1)
    targets = generator.integers(items, size=8)
    relevance = np.eye(items)[targets]
    ranks = mean_ranks(scores, targets)
    assert ndcg(ranks, k).mean() == pytest.approx(ndcg_score(relevance, scores, k=k))
    assert mrr(ranks, items).mean() == pytest.approx(
        label_ranking_average_precision_score(relevance, scores)
    )
    if items > 2 and k < items:
        accuracy = top_k_accuracy_score(targets, scores, k=k, labels=np.arange(items))
        assert recall(ranks, k).mean() == pytest.approx(accuracy)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.data())
def test_a_tied_target_has_the_mean_of_the_places_it_could_take(
    values: list[int], data: st.DataObject
) -> None:
    target = data.draw(st.integers(0, len(values) - 1))
    best = sum(value > values[target] for value in values)
    worst = sum(value >= values[target] for value in values) - 1
    ranks = mean_ranks(np.array([values], np.float32), np.array([target]))
    assert ranks.tolist() == [(best + worst) / 2]

import math
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.spatial import distance
from scipy.stats import bernoulli, entropy, tmean
from sklearn.metrics import auc

from eval.beyond_accuracy import (
    BATCH,
    Categories,
    Lists,
    average_popularity,
    catalog_coverage,
    category_diversity,
    exposure_gini,
    miscalibration,
    novelty,
    vector_diversity,
)
from rec_gen.metrics import Floats

ITEMS, LONGEST = 7, 4
lists_of = st.lists(
    st.lists(st.integers(0, ITEMS - 1), max_size=LONGEST, unique=True), min_size=1, max_size=6
)
categories_of = npst.arrays(bool, (ITEMS, 3))


def pad(lists: list[list[int]]) -> Lists:
    return np.array([items + [-1] * (LONGEST - len(items)) for items in lists], np.int32)


def mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def assert_equal(found: Floats, expected: list[float]) -> None:
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@given(lists_of)
def test_coverage_is_the_share_of_polars_unique_items(lists: list[list[int]]) -> None:
    shown = pl.Series(lists, dtype=pl.List(pl.Int64)).explode(empty_as_null=False)
    assert catalog_coverage(pad(lists), ITEMS) == pytest.approx(shown.n_unique() / ITEMS, abs=1e-9)


@given(lists_of)
def test_gini_is_twice_scikit_learns_area_between_equality_and_the_lorenz_curve(
    lists: list[list[int]],
) -> None:
    counts = sorted(sum(item in items for items in lists) for item in range(ITEMS))
    gini = exposure_gini(pad(lists), ITEMS)
    if any(counts):
        lorenz = np.append(0, np.cumsum(counts) / sum(counts))
        assert gini == pytest.approx(1 - 2 * auc(np.linspace(0, 1, ITEMS + 1), lorenz), abs=1e-9)
    else:
        assert math.isnan(gini)


def test_gini_is_0_for_equal_exposure_and_all_but_1_for_a_single_item() -> None:
    assert exposure_gini(np.arange(6, dtype=np.int32).reshape(3, 2), 6) == pytest.approx(0)
    assert exposure_gini(np.zeros((3, 1), np.int32), 6) == pytest.approx(1 - 1 / 6)


@given(lists_of, categories_of)
def test_diversity_by_categories_is_scipys_jaccard_distance(
    lists: list[list[int]], categories: Categories
) -> None:
    expected = [
        mean([distance.jaccard(*categories[list(pair)]) for pair in combinations(known, 2)])
        for known in ([item for item in items if categories[item].any()] for items in lists)
    ]
    assert_equal(category_diversity(pad(lists), categories), expected)


@given(lists_of, st.integers(0, 2**32 - 1))
def test_diversity_by_vectors_is_scipys_cosine_distance(lists: list[list[int]], seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(ITEMS, 5)).astype(np.float32)
    vectors[0] = 0
    exact = vectors.astype(float)
    expected = [
        mean([distance.cosine(exact[one], exact[other]) for one, other in combinations(known, 2)])
        for known in ([item for item in items if item] for items in lists)
    ]
    assert_equal(vector_diversity(pad(lists), vectors), expected)


def test_many_lists_are_taken_in_batches() -> None:
    generator = np.random.default_rng(0)
    lists = generator.integers(30, size=(2 * BATCH + 3, 5)).astype(np.int32)
    categories = generator.random((30, 4)) < 0.4
    apart = np.concatenate([category_diversity(line[None], categories) for line in lists])
    np.testing.assert_array_equal(category_diversity(lists, categories), apart)


@given(lists_of, npst.arrays(np.int64, ITEMS, elements=st.integers(0, 50)))
def test_novelty_and_popularity_are_scipys_means_of_counts_and_of_surprise(
    lists: list[list[int]], choosers: np.ndarray
) -> None:
    def means(values: np.ndarray) -> list[float]:
        return [tmean(values[items]) if items else math.nan for items in lists]

    surprise = -bernoulli.logpmf(1, np.maximum(choosers, 1) / 50) / math.log(2)
    assert_equal(novelty(pad(lists), choosers, 50), means(surprise))
    assert_equal(average_popularity(pad(lists), choosers), means(choosers))


def mixture(items: list[int], categories: Categories) -> Floats:
    known = [item for item in items if categories[item].any()]
    if not known:
        return np.full(categories.shape[1], math.nan)
    return np.asarray(np.mean([categories[i] / categories[i].sum() for i in known], axis=0))


@given(lists_of, categories_of, st.data())
def test_miscalibration_is_the_divergence_from_the_history(
    lists: list[list[int]], categories: Categories, data: st.DataObject
) -> None:
    one_history = st.lists(st.integers(0, ITEMS - 1), max_size=9)
    histories = data.draw(st.lists(one_history, min_size=len(lists), max_size=len(lists)))
    expected = []
    for items, history in zip(lists, histories, strict=True):
        wanted, shown = mixture(history, categories), mixture(items, categories)
        expected.append(float(entropy(wanted, 0.99 * shown + 0.01 * wanted)))
    found = miscalibration(pad(lists), [np.array(each, np.int32) for each in histories], categories)
    assert_equal(found, expected)


def test_miscalibration_is_0_for_the_same_categories_and_ln_100_for_others() -> None:
    categories = np.eye(4, dtype=bool)[[0, 1, 0, 1, 2]]
    histories = [np.array([0, 1], np.int32)] * 2 + [np.array([], np.int32)]
    lists = np.array([[2, 3], [4, -1], [2, 3]], np.int32)
    assert_equal(miscalibration(lists, histories, categories), [0, math.log(100), math.nan])

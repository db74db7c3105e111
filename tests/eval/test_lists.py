import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eval.lists import RankedLists, list_rows, rank_targets, tie_order, top_items
from rec_gen.catalog import Catalog
from rec_gen.counts import Scores
from rec_gen.data.dataset import Example
from rec_gen.errors import DataError
from rec_gen.metrics import Ranks

VALUES = st.sampled_from([-np.inf, -2.5, -0.0, 0.0, 1e-30, 1.0, 3.5])


def catalog_of(ids: list[str]) -> Catalog:
    return Catalog(pl.DataFrame({"item": ids, "title": ids}))


scored = st.tuples(st.integers(1, 4), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=VALUES)
)


@given(scores=scored, k=st.integers(1, 15), seed=st.integers(0, 5))
def test_a_list_is_the_sorted_catalog_without_what_is_excluded(
    scores: Scores, k: int, seed: int
) -> None:
    items = scores.shape[1]
    ties = tie_order(catalog_of([f"i{item}" for item in range(items)]), seed)
    assert sorted(ties) == list(range(items))
    for row, found in zip(scores, top_items(scores, k, ties), strict=True):
        best = sorted(range(items), key=lambda item: (-row[item], ties[item]))
        kept = [item for item in best if row[item] != -np.inf][:k]
        assert found.tolist() == kept + [-1] * (k - len(kept))


@given(scores=scored, data=st.data())
def test_a_listed_target_stands_among_those_it_is_tied_with(
    scores: Scores, data: st.DataObject
) -> None:
    items = scores.shape[1]
    columns = st.integers(0, items - 1)
    targets = np.array([data.draw(columns) for _ in scores], np.int64)
    ties = tie_order(catalog_of([f"i{item}" for item in range(items)]), 0)
    lists = rank_targets(scores, targets, items, ties, "it")
    for row, target in enumerate(targets):
        if scores[row, target] == -np.inf:
            assert lists.ranks.best[row] == lists.ranks.worst[row] == np.inf
            assert target not in lists.items[row]
            continue
        better = (scores[row] > scores[row, target]).sum()
        others = (scores[row] == scores[row, target]).sum() - 1
        assert (lists.ranks.best[row], lists.ranks.worst[row]) == (better, better + others)
        assert better <= lists.items[row].tolist().index(target) <= better + others


def test_ties_do_not_tell_the_order_of_the_catalog() -> None:
    ids = [f"i{item}" for item in range(200)]
    level = np.zeros((1, 200), np.float32)
    by_seed = []
    for seed in (0, 1):
        listed = []
        for order in (ids, ids[::-1]):
            found = top_items(level, 200, tie_order(catalog_of(order), seed))[0]
            listed.append([order[place] for place in found])
        assert listed[0] == listed[1]
        by_seed.append(listed[0])
    assert by_seed[0] != by_seed[1]
    places = [int(item[1:]) for item in by_seed[0]]
    assert abs(np.corrcoef(places, np.arange(200))[0, 1]) < 0.2


def test_rows_leave_out_what_is_not_there() -> None:
    examples = [Example("u", np.array([0, 1], np.int32), 2), Example("v", np.zeros(0, np.int32), 0)]
    items = np.array([[2, 1, -1], [-1, -1, -1]], np.int32)
    ranks = Ranks.of_places(np.array([0.0, np.inf]))
    lists = RankedLists(ranks, items, np.where(items < 0, np.nan, 1.0))
    assert list_rows("model", lists, catalog_of(["a", "b", "c"]), examples).rows() == [
        ("model", "u", "c", 0.0, 0.0, ["c", "b"], 2),
        ("model", "v", "a", None, None, [], 0),
    ]


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_scores_without_an_order_are_refused(score: float) -> None:
    scores = np.zeros((2, 3), np.float32)
    scores[1, 2] = score
    ties = tie_order(catalog_of(["a", "b", "c"]), 0)
    with pytest.raises(DataError, match=f"^mine: row 2 of the catalog scores {score}, .*: mend"):
        rank_targets(scores, np.zeros(2, np.int64), 3, ties, "mine")

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.lists import RankedLists
from eval.reranking import raise_listed, xquad
from rec_gen.metrics import Ranks

ITEMS, WIDTH, K = 8, 6, 4
GROUPS = np.arange(ITEMS)[:, None] % 3 == np.arange(3)


@st.composite
def candidates(draw: st.DrawFn) -> RankedLists:
    """Two lists by falling score, the second with nothing at its end."""
    found = RankedLists.empty(2, WIDTH)
    for row, size in enumerate((WIDTH, draw(st.integers(1, K)))):
        found.items[row, :size] = draw(st.permutations(range(ITEMS)))[:size]
        scores = st.integers(-40, 0)
        found.scores[row, :size] = sorted(
            draw(st.lists(scores, min_size=size, max_size=size)), reverse=True
        )
    found.scores[:] /= 4
    return found


TARGETS = np.array([2, 5])


def assert_ranks(found: RankedLists) -> None:
    expected = [
        items.index(target) if target in items else math.inf
        for items, target in zip(found.items.tolist(), TARGETS.tolist(), strict=True)
    ]
    assert found.ranks.best.tolist() == found.ranks.worst.tolist() == expected


@given(candidates(), st.lists(st.integers(0, 20), min_size=ITEMS, max_size=ITEMS))
def test_the_raised_are_ordered_by_the_sum(listed: RankedLists, bonus: list[int]) -> None:
    found = raise_listed(listed, np.array(bonus) / 4, TARGETS, K)
    for items, row, scores in zip(found.items, listed.items, listed.scores, strict=True):
        known = [item for item in row.tolist() if item >= 0]
        order = sorted(range(len(known)), key=lambda at: -(scores[at] + bonus[known[at]] / 4))
        best = [known[at] for at in order[:K]]
        assert items.tolist() == best + [-1] * (K - len(best))
    assert_ranks(found)


@given(candidates(), st.sampled_from([0.0, 0.3, 0.8]), st.data())
def test_xquad_is_the_greedy_choice(
    listed: RankedLists, weight: float, data: st.DataObject
) -> None:
    share = st.integers(0, 4).map(lambda part: part / 4)
    wanted = np.array(data.draw(st.lists(st.tuples(share, share, share), min_size=2, max_size=2)))
    found = xquad(listed, wanted, GROUPS, weight, TARGETS, K)
    for items, row, scores, shares in zip(
        found.items.tolist(), listed.items.tolist(), listed.scores, wanted, strict=True
    ):
        known = [item for item in row if item >= 0]
        chances = np.exp(scores[: len(known)] - scores[0])
        chosen = [item for item in items if item >= 0]
        assert len(chosen) == min(K, len(known)) == len(set(chosen))
        for place, item in enumerate(chosen):
            before = [other % 3 for other in chosen[:place]]

            sums = {
                other: (1 - weight) * chance
                + weight * shares[other % 3] * (1 - before.count(other % 3) / max(place, 1))
                for other, chance in zip(known, chances, strict=True)
                if other not in chosen[:place]
            }
            assert sums[item] == pytest.approx(max(sums.values()))
    if weight == 0:
        assert found.items.tolist() == listed.items[:, :K].tolist()
    assert_ranks(found)


def test_a_history_without_a_group_wants_nothing() -> None:
    listed = RankedLists(
        Ranks.of_places(np.array([np.inf])),
        np.array([[3, 1, 2]], np.int32),
        np.array([[-1.0, -2.0, -3.0]]),
    )
    wanted = np.full((1, 3), np.nan)
    assert xquad(listed, wanted, GROUPS, 0.9, TARGETS[:1], 2).items.tolist() == [[3, 1]]

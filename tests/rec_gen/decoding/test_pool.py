import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.decoding import pool
from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.pool import CROWD, Cap
from rec_gen.decoding.ragged import group_kth
from rec_gen.decoding.sampling import Sampling
from rec_gen.decoding.score import Score
from rec_gen.decoding.search import Ranking, search
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import DecodingError
from rec_gen.testing import HashRuntime, brute_force
from tests.rec_gen.decoding.test_search import PROMPTS, SCORES, filtered
from tests.strategies import VOCABULARY

Catalog = list[np.ndarray]
PAIRS = [np.array([a, b], dtype=np.int32) for a in range(VOCABULARY) for b in range(5)]
FREE = [True] * (len(PAIRS) - 2) + [False] * 2


@st.composite
def wishes(draw: st.DrawFn) -> tuple[Catalog, list[list[bool]], Cap | None, torch.Tensor | None]:
    """A catalog, who may get what, and a cap or a bonus on its items or both."""
    catalog, masks = draw(filtered())
    size = len(catalog)
    mixed = st.lists(st.integers(0, min(3, size - 1)), min_size=size, max_size=size)
    cap = draw(st.none() | st.builds(Cap, mixed.map(torch.tensor), st.integers(1, 4)))
    number = st.floats(-20, 20)
    table = st.lists(st.lists(number, min_size=size, max_size=size), min_size=1, max_size=1)
    tables = st.lists(st.lists(number, min_size=size, max_size=size), min_size=3, max_size=3)
    bonus = draw(st.none() | table | tables)
    return catalog, masks, cap, None if bonus is None else torch.tensor(bonus, dtype=torch.float64)


def greedy(scores: dict[int, float], k: int, cap: Cap | None) -> list[int]:
    """The best items in order, skipping those of full categories."""
    taken: list[int] = []
    full: Counter[int] = Counter()
    for item in sorted(scores, key=lambda item: -scores[item]):
        category = int(cap.category[item]) if cap else item
        if len(taken) < k and full[category] < (cap.most if cap else 1):
            taken.append(item)
            full[category] += 1
    return taken


@given(
    wishes(),
    SCORES,
    st.integers(1, 5) | st.integers(1, 40),
    st.integers(1, 5),
    st.booleans(),
    st.none() | st.just(Sampling()),
    st.integers(0, 99),
)
def test_the_promise_and_the_certificate_hold(
    wished: tuple[Catalog, list[list[bool]], Cap | None, torch.Tensor | None],
    score: Score,
    k: int,
    width: int,
    exact: bool,
    sampling: Sampling | None,
    seed: int,
) -> None:
    """As many as the cap lets through at any width; the best of them where certified."""
    catalog, masks, cap, bonus = wished
    runtime, trie = HashRuntime(VOCABULARY, seed), CatalogTrie.build(catalog)
    excluded = [[item for item, free in enumerate(mask) if not free] for mask in masks]
    leaves = EligibleLeaves(LeafFilter(trie), excluded)
    ranking = Ranking(sampling, cap, bonus)
    results = search(runtime, PROMPTS, trie, leaves, k, width, score, exact=exact, ranking=ranking)
    for row, (prompt, mask, result) in enumerate(zip(PROMPTS, masks, results, strict=True)):
        expected = brute_force(runtime, prompt, catalog, mask, score)
        if bonus is not None:
            extra = bonus[row % len(bonus)].tolist()
            expected = {item: value + extra[item] for item, value in expected.items()}
        best = greedy(expected, k, cap)
        assert len(set(result.items)) == len(result.items) == len(best)
        assert all(mask[item] for item in result.items)
        if cap:
            taken = Counter(cap.category[result.items].tolist())
            assert max(taken.values()) <= cap.most
        scores = [expected[item] for item in result.items]
        assert result.scores == pytest.approx(scores, abs=1e-6)
        if exact:
            assert result.certified
        if result.certified and not sampling:
            assert result.scores == pytest.approx([expected[item] for item in best], abs=1e-6)


@given(
    SCORES,
    st.integers(2, 5),
    st.integers(1, 2),
    st.integers(1, 5),
    st.permutations(FREE),
    st.integers(0, 99),
)
def test_a_beam_that_ends_in_a_full_category_goes_on(
    score: Score, k: int, most: int, border: int, mask: list[bool], seed: int
) -> None:
    """Whole branches of the root are of one category, and the others may have been pruned."""
    cap = Cap(torch.tensor([max(0, path[0] - border) for path in PAIRS]), most)
    runtime, trie = HashRuntime(VOCABULARY, seed), CatalogTrie.build(PAIRS)
    excluded = [item for item, free in enumerate(mask) if not free]
    leaves = EligibleLeaves(LeafFilter(trie), [excluded])
    (result,) = search(runtime, [[1]], trie, leaves, k, 1, score, ranking=Ranking(cap=cap))
    best = greedy(brute_force(runtime, [1], PAIRS, mask, score), k, cap)
    assert len(set(result.items)) == len(result.items) == len(best)
    assert max(Counter(cap.category[result.items].tolist()).values()) <= most
    assert result.items == best or not result.certified


def test_large_bonuses_decide() -> None:
    catalog = [np.array([token], dtype=np.int32) for token in range(VOCABULARY)]
    trie = CatalogTrie.build(catalog)
    bonus = torch.tensor([[0.0, 1e6, 0.0, -1e6, 2e6, 0.0]], dtype=torch.float64)
    (result,) = search(
        HashRuntime(VOCABULARY),
        [[1]],
        trie,
        EligibleLeaves(LeafFilter(trie), [[]]),
        VOCABULARY,
        1,
        ranking=Ranking(bonus=bonus),
    )
    assert result.items[:2] == [4, 1]
    assert result.items[-1] == 3
    assert math.isclose(result.scores[0], 2e6, abs_tol=100)


def test_refuses_a_cap_of_nothing() -> None:
    with pytest.raises(DecodingError, match="the cap is 0: allow at least 1"):
        Cap(torch.tensor([0]), 0)


@pytest.mark.parametrize("sampling", [None, Sampling()])
def test_of_a_crowd_the_best_are_kept(
    sampling: Sampling | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, k = CROWD, 7
    runtime = HashRuntime(size)
    trie = CatalogTrie.build([np.array([item], dtype=np.int32) for item in range(size)])
    leaves = EligibleLeaves(LeafFilter(trie), [[], list(range(size - 3))])
    bonus = torch.from_numpy(np.random.default_rng(0).normal(size=(1, size)).round())
    ranking = Ranking(sampling, None, bonus)
    thinned = search(runtime, PROMPTS[:2], trie, leaves, k, 1, ranking=ranking)
    monkeypatch.setattr(pool, "CROWD", 2 * size)
    assert thinned == search(runtime, PROMPTS[:2], trie, leaves, k, 1, ranking=ranking)
    assert [len(result.items) for result in thinned] == [k, 3]


def test_the_kth_of_a_group() -> None:
    values = torch.tensor([1.0, 3.0, 2.0, 5.0, 4.0, 4.0])
    group = torch.tensor([0, 0, 0, 2, 3, 3])
    assert group_kth(values, group, 5, 2).tolist() == [2, -math.inf, -math.inf, 4, -math.inf]

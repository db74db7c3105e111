import itertools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.sampling import Sampling
from rec_gen.decoding.score import Score
from rec_gen.decoding.search import Ranking, SearchResult, search
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import DecodingError, ModelError
from rec_gen.testing import HashRuntime, brute_force
from tests.rec_gen.decoding.test_search import PROMPTS, SCORES, filtered
from tests.strategies import VOCABULARY

Catalog = list[np.ndarray]
SMALL = [np.array(path, dtype=np.int32) for path in ([0], [1, 0, 2], [1, 1], [1, 2], [3, 3, 3])]


def sample(
    runtime: HashRuntime,
    catalog: Sequence[np.ndarray],
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    masks: Sequence[Sequence[bool]] | None = None,
    k: int = 3,
    beam_width: int = 1,
    score: Score = "catalog",
    bonus: torch.Tensor | None = None,
    exact: bool = False,
) -> list[SearchResult]:
    trie = CatalogTrie.build(catalog)
    masks = masks or [[True] * len(catalog)] * len(prompts)
    excluded = [[item for item, free in enumerate(mask) if not free] for mask in masks]
    leaves = EligibleLeaves(LeafFilter(trie), excluded)
    ranking = Ranking(sampling=sampling, bonus=bonus)
    return search(
        runtime, prompts, trie, leaves, k, beam_width, score, exact=exact, ranking=ranking
    )


class DeafRuntime(HashRuntime):
    """Hears nothing of a prompt of one token, so that many requests are one experiment."""

    def logits_after(self, prefix: tuple[int, ...]) -> torch.Tensor:
        return super().logits_after(prefix[1:]) / self.temperature

    temperature = 1.0


def orders(weights: dict[int, float], k: int) -> dict[tuple[int, ...], float]:
    """The chance of each ordered draw of k items without replacement."""
    chances = {}
    for order in itertools.permutations(weights, k):
        left, chance = sum(weights.values()), 1.0
        for item in order:
            chance *= weights[item] / left
            left -= weights[item]
        chances[order] = chance
    return chances


@pytest.mark.parametrize("score", ["lm", "catalog"])
@pytest.mark.parametrize(
    ("temperature", "bonus"), [(1.0, None), (2.0, None), (0.5, None), (1.5, [0, 1, -0.5, 2, 0])]
)
def test_draws_have_the_chances_of_drawing_without_replacement(
    score: Score, temperature: float, bonus: list[float] | None
) -> None:
    count, k = 4000, 2
    mask = [True, True, True, False, True]
    runtime = DeafRuntime(VOCABULARY, seed=1, scale=1.5)
    tensor = None if bonus is None else torch.tensor([bonus], dtype=torch.float64)
    results = sample(
        runtime,
        SMALL,
        [[request] for request in range(count)],
        Sampling(temperature, seed=7),
        masks=[mask] * count,
        k=k,
        score=score,
        bonus=tensor,
        exact=bonus is not None,
    )
    runtime.temperature = temperature
    log_chances = brute_force(runtime, [0], SMALL, mask, "catalog")
    assert sum(map(math.exp, log_chances.values())) == pytest.approx(1)
    extra = bonus or [0.0] * len(SMALL)
    chances = orders({item: math.exp(log_chances[item] + extra[item]) for item in log_chances}, k)
    drawn = Counter(tuple(result.items) for result in results)
    assert set(drawn) <= set(chances)
    observed = [drawn[order] for order in chances]
    assert chisquare(observed, [count * chance for chance in chances.values()]).pvalue > 1e-3
    runtime.temperature = 1.0
    expected = brute_force(runtime, [0], SMALL, mask, score)
    for result in results[:50]:
        assert result.certified
        scores = [expected[item] + extra[item] for item in result.items]
        assert result.scores == pytest.approx(scores, abs=1e-6)


def test_seeds_are_independent_draws() -> None:
    runtime, count = HashRuntime(VOCABULARY, scale=1.0), 300
    log_chances = brute_force(runtime, [4], SMALL, [True] * 5, "catalog")
    draws = [sample(runtime, SMALL, [[4]], Sampling(seed=s), k=1)[0].items[0] for s in range(count)]
    observed = np.bincount(draws, minlength=5)
    expected = [count * math.exp(log_chances[item]) for item in range(5)]
    assert chisquare(observed, expected).pvalue > 1e-3


@given(
    filtered(),
    SCORES,
    st.integers(1, 40),
    st.integers(1, 4),
    st.sampled_from([1e-3, 0.3, 1.0, 50.0]),
    st.integers(-(2**70), 2**70),
)
def test_the_beam_draws_what_an_exact_search_draws(
    drawn: tuple[Catalog, list[list[bool]]],
    score: Score,
    k: int,
    width: int,
    temperature: float,
    seed: int,
) -> None:
    """Each prefix scores as the best item below it, so that no beam can miss one."""
    catalog, masks = drawn
    runtime, sampling = HashRuntime(VOCABULARY, scale=30), Sampling(temperature, seed)
    options = {"masks": masks, "k": k, "score": score}
    beam = sample(runtime, catalog, PROMPTS, sampling, beam_width=width, **options)  # type: ignore[arg-type]
    full = sample(runtime, catalog, PROMPTS, sampling, beam_width=999, exact=True, **options)  # type: ignore[arg-type]
    for prompt, mask, mine, best in zip(PROMPTS, masks, beam, full, strict=True):
        assert mine == best
        assert mine.certified
        assert len(set(mine.items)) == len(mine.items) == min(k, sum(mask))
        assert all(mask[item] for item in mine.items)
        expected = brute_force(runtime, prompt, catalog, mask, score)
        scores = [expected[item] for item in mine.items]
        assert mine.scores == pytest.approx(scores, abs=1e-6)


@given(
    filtered(),
    SCORES,
    st.integers(1, 9),
    st.dictionaries(st.integers(0, VOCABULARY - 1), st.sampled_from([-math.inf, 1e4, -1e4, 0.0])),
)
def test_the_promise_holds_for_any_weights(
    drawn: tuple[Catalog, list[list[bool]]], score: Score, k: int, overrides: dict[int, float]
) -> None:
    catalog, masks = drawn
    runtime = HashRuntime(VOCABULARY, overrides=overrides)
    try:
        results = sample(runtime, catalog, PROMPTS, Sampling(), masks=masks, k=k, score=score)
    except ModelError:
        assert -math.inf in overrides.values()  # no live child has a finite score
        return
    for mask, result in zip(masks, results, strict=True):
        assert len(set(result.items)) == len(result.items) == min(k, sum(mask))
        assert all(mask[item] for item in result.items)


@given(filtered(), st.permutations(range(len(PROMPTS))), st.integers(0, 9))
def test_batch_mates_and_order_change_nothing(
    drawn: tuple[Catalog, list[list[bool]]], order: list[int], seed: int
) -> None:
    catalog, masks = drawn
    runtime, sampling = HashRuntime(VOCABULARY), Sampling(seed=seed)
    mixed = sample(
        runtime,
        catalog,
        [PROMPTS[row] for row in order],
        sampling,
        masks=[masks[row] for row in order],
    )
    for row, together in zip(order, mixed, strict=True):
        (alone,) = sample(runtime, catalog, [PROMPTS[row]], sampling, masks=[masks[row]])
        assert alone == together


def test_a_cold_draw_takes_the_likeliest() -> None:
    catalog = [np.array([token], dtype=np.int32) for token in range(VOCABULARY)]
    (drawn,) = sample(HashRuntime(VOCABULARY), catalog, [[1]], Sampling(1e-6), k=6)
    assert drawn.scores == sorted(drawn.scores, reverse=True)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_refuses_a_temperature_without_meaning(temperature: float) -> None:
    with pytest.raises(DecodingError, match=r"temperature is .*: give a number above 0"):
        Sampling(temperature)


@pytest.mark.parametrize("score", ["lm", "catalog"])
def test_the_least_temperature_draws_as_a_cold_one(score: Score) -> None:
    runtime, k = HashRuntime(VOCABULARY), len(SMALL)
    cold, least = (
        sample(runtime, SMALL, [[1]], Sampling(temperature), k=k, score=score)[0].items
        for temperature in (1e-9, math.ulp(0.0))
    )
    assert least[0] == cold[0]
    assert sorted(least) == list(range(k))

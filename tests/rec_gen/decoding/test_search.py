import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.reread_runtime import RereadRuntime
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.runtimes import SUPPORTED, runtime_for
from rec_gen.decoding.score import Score
from rec_gen.decoding.search import SearchResult, search
from rec_gen.decoding.transformers_runtime import TransformersRuntime
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import DecodingError, ModelError, NoEligibleItemError
from rec_gen.testing import HashRuntime, brute_force, tiny_model
from tests.strategies import VOCABULARY, spellings

WINDOWED = ("gemma3_text", "mistral")
SCORES = st.sampled_from(["lm", "catalog"])
PROMPTS: list[list[int]] = [[1, 2, 3], [4], [2, 2, 5, 0, 1, 3, 3]]


def run(
    runtime: Runtime,
    catalog: Sequence[np.ndarray],
    prompts: Sequence[Sequence[int]],
    *,
    eligible: torch.Tensor | None = None,
    k: int = 5,
    beam_width: int = 1000,
    score: Score = "lm",
    exact: bool = False,
) -> list[SearchResult]:
    if eligible is None:
        eligible = torch.ones(len(prompts), len(catalog), dtype=torch.bool)
    trie = CatalogTrie.build(catalog)
    excluded = [(~row).nonzero()[:, 0].tolist() for row in eligible]
    leaves = EligibleLeaves(LeafFilter(trie), excluded)
    return search(runtime, prompts, trie, leaves, k, beam_width, score, exact=exact)


@st.composite
def filtered(draw: st.DrawFn) -> tuple[list[np.ndarray], list[list[bool]]]:
    """A catalog and, for each prompt, which items are eligible: at least one."""
    catalog = draw(spellings())
    size = len(catalog)
    masks = draw(
        st.lists(
            st.lists(st.booleans(), min_size=size, max_size=size).filter(any),
            min_size=len(PROMPTS),
            max_size=len(PROMPTS),
        )
    )
    return catalog, masks


@given(filtered(), SCORES, st.integers(1, 40), st.integers(0, 99))
def test_a_wide_beam_equals_brute_force(
    drawn: tuple[list[np.ndarray], list[list[bool]]], score: Score, k: int, seed: int
) -> None:
    catalog, masks = drawn
    runtime = HashRuntime(VOCABULARY, seed)
    results = run(
        runtime, catalog, PROMPTS, eligible=torch.tensor(masks), k=k, beam_width=99, score=score
    )
    for prompt, mask, result in zip(PROMPTS, masks, results, strict=True):
        expected = brute_force(runtime, prompt, catalog, mask, score)
        best = sorted(expected, key=lambda item: -expected[item])[:k]
        assert result.items == best
        assert result.scores == pytest.approx([expected[item] for item in best], abs=1e-6)
        assert result.certified


@given(
    filtered(),
    SCORES,
    st.integers(1, 40),
    st.integers(1, 8),
    st.dictionaries(st.integers(0, VOCABULARY - 1), st.sampled_from([-math.inf, 1e4, -1e4, 0.0])),
)
def test_a_narrow_beam_keeps_the_promise(
    drawn: tuple[list[np.ndarray], list[list[bool]]],
    score: Score,
    k: int,
    beam_width: int,
    overrides: dict[int, float],
) -> None:
    """Exactly k distinct eligible items or all of them, best first, whatever the weights."""
    catalog, masks = drawn
    runtime = HashRuntime(VOCABULARY, overrides=overrides)
    try:
        results = run(
            runtime,
            catalog,
            PROMPTS,
            eligible=torch.tensor(masks),
            k=k,
            beam_width=beam_width,
            score=score,
        )
    except ModelError:
        assert -math.inf in overrides.values()  # no live child has a finite score
        return
    for prompt, mask, result in zip(PROMPTS, masks, results, strict=True):
        assert len(result.items) == min(k, sum(mask))
        assert len(set(result.items)) == len(result.items)
        assert all(mask[item] for item in result.items)
        assert result.scores == sorted(result.scores, reverse=True)
        if result.certified and -math.inf not in overrides.values():
            expected = brute_force(runtime, prompt, catalog, mask, score)
            best = sorted(expected.values(), reverse=True)[:k]
            assert result.scores == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("model_type", [*SUPPORTED, "gpt2"])
@pytest.mark.parametrize("score", ["lm", "catalog"])
def test_transformers_equals_brute_force(model_type: str, score: Score) -> None:
    rng = np.random.default_rng(0)
    rows = {tuple(rng.integers(0, 20, size=4)) for _ in range(200)}
    catalog = [np.array(row, dtype=np.int32) for row in rows]
    prompts = [rng.integers(0, 20, size=n).tolist() for n in (3, 17, 9)]
    settings = {"gpt2": {"n_embd": 32, "n_layer": 1, "n_head": 2}}.get(
        model_type, {"sliding_window": 8} if model_type in WINDOWED else {}
    )
    runtime = runtime_for(tiny_model(20, model_type=model_type, **settings))
    assert isinstance(runtime, RereadRuntime) == (model_type not in SUPPORTED)
    results = run(runtime, catalog, prompts, k=10, score=score)
    for prompt, result in zip(prompts, results, strict=True):
        expected = brute_force(runtime, prompt, catalog, [True] * len(catalog), score)
        best = sorted(expected, key=lambda item: -expected[item])[:10]
        assert result.items == best
        assert result.scores == pytest.approx([expected[item] for item in best], abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(len(PROMPTS))), st.integers(1, len(PROMPTS)))
def test_batch_mates_change_nothing(order: list[int], count: int) -> None:
    catalog = [np.array([a, b], dtype=np.int32) for a in range(6) for b in range(6)]
    runtime = TransformersRuntime(tiny_model(VOCABULARY))
    alone = [run(runtime, catalog, [prompt])[0] for prompt in PROMPTS]
    batch = run(runtime, catalog, [PROMPTS[index] for index in order[:count]])
    for index, together in zip(order, batch, strict=False):
        assert together.items == alone[index].items
        assert together.scores == pytest.approx(alone[index].scores, abs=1e-4)


@pytest.mark.parametrize("score", ["lm", "catalog"])
def test_one_item_and_shared_beginnings(score: Score) -> None:
    one = [np.array([1, 1, 1], dtype=np.int32)]
    assert run(HashRuntime(VOCABULARY), one, PROMPTS, score=score)[0].items == [0]
    twins = [np.array([1, 1, 1, last], dtype=np.int32) for last in range(VOCABULARY)]
    result = run(HashRuntime(VOCABULARY), twins, PROMPTS, k=9, beam_width=1, score=score)[0]
    assert sorted(result.items) == list(range(VOCABULARY))


@given(filtered(), SCORES, st.integers(1, 10), st.integers(1, 3), st.integers(0, 99))
def test_exact_equals_brute_force_at_any_width(
    drawn: tuple[list[np.ndarray], list[list[bool]]], score: Score, k: int, width: int, seed: int
) -> None:
    catalog, masks = drawn
    runtime = HashRuntime(VOCABULARY, seed)
    results = run(
        runtime,
        catalog,
        PROMPTS,
        eligible=torch.tensor(masks),
        k=k,
        beam_width=width,
        score=score,
        exact=True,
    )
    for prompt, mask, result in zip(PROMPTS, masks, results, strict=True):
        expected = brute_force(runtime, prompt, catalog, mask, score)
        assert result.items == sorted(expected, key=lambda item: -expected[item])[:k]
        assert result.certified


class CountingRuntime(HashRuntime):
    reads = 0

    def logits_after(self, prefix: tuple[int, ...]) -> torch.Tensor:
        self.reads += 1
        return super().logits_after(prefix)


def test_a_decided_tail_is_not_read_under_catalog() -> None:
    catalog = [np.array([first, 0, 1, 2, 3], dtype=np.int32) for first in range(VOCABULARY)]
    runtime = CountingRuntime(VOCABULARY)
    assert len(run(runtime, catalog, [[1]], score="catalog")[0].items) == 5
    assert runtime.reads == 1


def test_fails_closed_when_all_is_filtered() -> None:
    catalog = [np.array([token], dtype=np.int32) for token in range(3)]
    eligible = torch.tensor([[True, True, True], [False, False, False]])
    with pytest.raises(NoEligibleItemError, match="request 1: no item is left"):
        run(HashRuntime(VOCABULARY), catalog, PROMPTS[:2], eligible=eligible)


def test_names_a_model_that_gives_nan() -> None:
    catalog = [np.array([token], dtype=np.int32) for token in range(3)]
    for score in ("lm", "catalog"):
        with pytest.raises(ModelError, match="hash model 0: the model gives NaN"):
            run(HashRuntime(VOCABULARY, overrides={1: math.nan}), catalog, PROMPTS, score=score)


def test_names_a_model_that_gives_infinity_to_a_token_of_no_item() -> None:
    catalog = [np.array([token], dtype=np.int32) for token in range(3)]
    with pytest.raises(ModelError, match="hash model 0"):
        run(HashRuntime(VOCABULARY, overrides={5: math.inf}), catalog, PROMPTS, score="lm")


def test_no_request_has_no_answer_and_an_empty_prompt_is_named() -> None:
    one = [np.array([1], dtype=np.int32)]
    assert run(HashRuntime(VOCABULARY), one, []) == []
    with pytest.raises(DecodingError, match="request 1: the prompt has no token"):
        run(HashRuntime(VOCABULARY), one, [[1], []])


@pytest.mark.parametrize("model_type", ["gemma3_text", "llama"])
def test_refuses_positions_that_batch_mates_change(model_type: str) -> None:
    rope: dict[str, Any] = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    if model_type == "gemma3_text":
        rope = {"sliding_attention": {**rope, "rope_type": "default"}, "full_attention": rope}
    model = tiny_model(VOCABULARY, model_type=model_type, rope_parameters=rope)
    with pytest.raises(ModelError, match="rope type 'dynamic'"):
        runtime_for(model)


def test_refuses_a_model_in_training_mode() -> None:
    runtime = TransformersRuntime(tiny_model(VOCABULARY).train())
    with pytest.raises(ModelError, match="is in training mode"):
        run(runtime, [np.array([1], dtype=np.int32)], PROMPTS)


def test_refuses_to_return_nothing() -> None:
    with pytest.raises(DecodingError, match="at least 1"):
        run(HashRuntime(VOCABULARY), [np.array([1], dtype=np.int32)], PROMPTS, k=0)

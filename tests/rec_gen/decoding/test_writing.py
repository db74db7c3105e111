"""Texts always end, name only what is eligible, and do not depend on the rest of a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gen.decoding.filters import LeafFilter
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.runtimes import runtime_for
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.decoding.writing import (
    LONGEST_RUN,
    Limits,
    Text,
    TextTokens,
    eligible,
    repeating,
    write,
)
from rec_gen.errors import DecodingError, ModelError
from rec_gen.testing import HashRuntime, tiny_model
from tests.strategies import VOCABULARY, spellings

PLAIN, OPENS, CLOSES, ENDS = [6, 7, 8], 9, 10, 11
TOKENS = TextTokens(torch.tensor(PLAIN), OPENS, CLOSES, ENDS)
SIZE = 12


def written(
    runtime: Runtime,
    prompts: list[list[int]],
    spelled: list[np.ndarray],
    blocked: list[list[int]],
    limits: Limits,
) -> list[Text]:
    trie = CatalogTrie.build(spelled)
    both = LeafFilter(trie)
    return write(runtime, prompts, trie, spelled, [both] * len(prompts), blocked, TOKENS, limits)


@given(
    spellings(max_items=8),
    st.integers(0, 99),
    st.integers(1, 4),
    st.integers(1, 12),
    st.sampled_from([0.0, 1.0]),
    st.sampled_from(["lm", "catalog"]),
    st.data(),
)
def test_a_text_names_eligible_items_once_and_at_least_one(
    spelled: list[np.ndarray],
    seed: int,
    items: int,
    tokens: int,
    temperature: float,
    score: str,
    data: st.DataObject,
) -> None:
    prompts = [[6], [7, 8], [6, 7, 8]]
    places = st.lists(st.integers(0, len(spelled) - 1), unique=True)
    blocked = [data.draw(places) for _ in prompts]
    limits = Limits(items, tokens, temperature, seed, score)  # type: ignore[arg-type]
    runtime = HashRuntime(SIZE, seed)
    texts = written(runtime, prompts, spelled, blocked, limits)
    longest = max(map(len, spelled)) + 2
    for prompt, gone, text in zip(prompts, blocked, texts, strict=True):
        named = [item for item, _ in text.items]
        left = set(range(len(spelled))).difference(gone)
        assert set(named) <= left
        assert len(set(named)) == len(named) <= items
        assert bool(named) == bool(left)
        assert len(text.pieces) == len(named) + 1
        assert {token for piece in text.pieces for token in piece} <= set(PLAIN)
        assert text.tokens < tokens + 1 + longest
        assert [text] == written(runtime, [prompt], spelled, [gone], limits)


def test_what_follows_an_item_is_written_after_its_spelling_and_marker() -> None:
    """Each choice is the likeliest after exactly the tokens before it."""
    spelled = [np.array([0, 1], np.int32), np.array([2], np.int32)]
    runtime = HashRuntime(SIZE, 5)
    prompts = [[6, 6], [7], [8]]
    texts = written(runtime, prompts, spelled, [[]] * 3, Limits(2, 9, 0.0, 0, "lm"))
    assert any(text.items for text in texts)
    for prompt, text in zip(prompts, texts, strict=True):
        path = tuple(prompt)
        for place, piece in enumerate(text.pieces):
            for token in piece:
                logits = runtime.logits_after(path)
                allowed = [*PLAIN, ENDS, *([OPENS] if place < 2 else [])]
                assert token == max(allowed, key=lambda one: float(logits[one]))
                path = (*path, token)
            if place < len(text.items):
                path = (*path, OPENS, *spelled[text.items[place][0]].tolist(), CLOSES)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 99))
def test_a_transformer_writes_alone_what_it_writes_in_a_batch(seed: int) -> None:
    runtime = runtime_for(tiny_model(SIZE, seed))
    spelled = [np.array(path, np.int32) for path in ([0, 1, 2], [0, 1, 3], [4], [5, 0])]
    prompts = [[6, 7], [8], [7, 7, 7]]
    limits = Limits(3, 10, 0.0, 0, "catalog")
    texts = written(runtime, prompts, spelled, [[], [2], [0, 1]], limits)
    for prompt, gone, text in zip(prompts, ([], [2], [0, 1]), texts, strict=True):
        (alone,) = written(runtime, [prompt], spelled, [gone], limits)
        assert alone.pieces == text.pieces
        assert [item for item, _ in alone.items] == [item for item, _ in text.items]


@given(st.lists(st.integers(0, 2), max_size=40))
def test_what_would_be_said_a_third_time_is_known(said: list[int]) -> None:
    def thrice(text: list[int]) -> bool:
        return any(
            text[-n:] == text[-2 * n : -n] == text[-3 * n : -2 * n]
            for n in range(1, LONGEST_RUN + 1)
            if len(text) >= 3 * n
        )

    assert set(repeating(said)) == {token for token in range(3) if thrice([*said, token])}


def test_nothing_is_said_three_times_in_a_row() -> None:
    stuck = HashRuntime(SIZE, overrides={6: 90.0, 7: 80.0, ENDS: -90.0, OPENS: -90.0})
    spelled = [np.array([1], np.int32)]
    (text,) = written(stuck, [[8]], spelled, [[]], Limits(1, 12, 0.0, 0, "lm"))
    assert text.pieces[0][:6] == [6, 6, 7, 6, 6, 7]
    assert text.pieces[0][6:8] != [6, 6] or text.pieces[0][8] != 7


def test_another_seed_draws_another_text() -> None:
    spelled = [np.array([0], np.int32)]
    texts = [
        written(HashRuntime(SIZE), [[6]], spelled, [[]], Limits(1, 20, 2.0, seed, "lm"))
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_what_cannot_be_written_is_told() -> None:
    spelled = [np.array([0], np.int32)]
    with pytest.raises(DecodingError, match="temperature is nan"):
        Limits(1, 1, float("nan"), 0, "lm")
    broken = HashRuntime(SIZE, overrides={7: float("nan")})
    with pytest.raises(ModelError, match="NaN"):
        written(broken, [[6]], spelled, [[]], Limits(1, 5, 0.0, 0, "lm"))
    assert eligible(LeafFilter(CatalogTrie.build(spelled)), [0]) == 0
    assert min(PLAIN) >= VOCABULARY

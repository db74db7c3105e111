from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.decoding import read_ahead
from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.runtime import Frontier
from rec_gen.decoding.score import Score
from rec_gen.decoding.search import search
from rec_gen.decoding.transformers_runtime import TransformersRuntime, TreeSession
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.testing import HashRuntime, tiny_model
from tests.strategies import VOCABULARY, spellings


@given(spellings(), st.sampled_from(["lm", "catalog"]), st.integers(1, 5), st.booleans())
def test_answers_as_step_by_step(
    catalog: list[np.ndarray], score: Score, width: int, exact: bool
) -> None:
    trie = CatalogTrie.build(catalog)
    leaves = EligibleLeaves(LeafFilter(trie), [[0], []] if len(catalog) > 1 else [[], []])
    answers = []
    for limit in (0, read_ahead.LIMIT):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(read_ahead, "LIMIT", limit)
            runtime = HashRuntime(VOCABULARY)
            answers.append(
                search(runtime, [[1], [2, 3]], trie, leaves, 3, width, score, exact=exact)
            )
    assert answers[0] == answers[1]


@pytest.mark.parametrize("score", ["lm", "catalog"])
def test_a_small_catalog_is_read_at_once(score: Score) -> None:
    readings = []

    class Counting(TreeSession):
        def extend(
            self, parents: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor
        ) -> Frontier:
            readings.append(len(tokens))
            return super().extend(parents, tokens, lengths)

    class CountingRuntime(TransformersRuntime):
        def read(self, prompts: Sequence[Sequence[int]]) -> TreeSession:
            return Counting(self._model, prompts)

    catalog = [np.array([a, b, 0, c], np.int32) for a in (1, 2) for b in (3, 4) for c in (5, 6)]
    trie = CatalogTrie.build(catalog)
    leaves = EligibleLeaves(LeafFilter(trie), [[], []])
    runtime = CountingRuntime(tiny_model(9))
    results = search(runtime, [[1], [2, 3]], trie, leaves, 8, 8, score)
    assert [sorted(result.items) for result in results] == [list(range(8))] * 2
    assert readings == [2 * (2 + 4 * 2)]

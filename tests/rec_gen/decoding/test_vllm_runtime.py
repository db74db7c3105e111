"""The search on top of a vLLM engine; the engine itself runs in a process of its own."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog
from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.score import Score
from rec_gen.decoding.search import search
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.decoding.vllm_runtime import MOST, Asked, VLLMRuntime
from rec_gen.errors import ModelError
from rec_gen.recommender import Recommender
from rec_gen.testing import HashRuntime, random_bundle, tiny_model
from tests.rec_gen.decoding.vllm_search import CASES, HISTORIES
from tests.strategies import VOCABULARY, spellings

ROOT = Path(__file__).parent.parent.parent.parent
needs_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"
)


class HashEngine:
    """Answers one-token requests as an engine would, from a fake model."""

    def __init__(self, model: HashRuntime) -> None:
        self._model = model
        self.asked: list[Asked] = []

    def __call__(self, asked: Sequence[Asked]) -> list[dict[int, float]]:
        self.asked += asked
        steps = [self._model.logits_after(tuple(one.path)).log_softmax(0) for one in asked]
        return [
            {token: float(step[token]) for token in one.tokens}
            for one, step in zip(asked, steps, strict=True)
        ]


def test_the_whole_vocabulary_is_refused() -> None:
    session = VLLMRuntime("hash", HashEngine(HashRuntime(VOCABULARY))).read([[1]])
    with pytest.raises(ModelError, match="have replies made by transformers"):
        session.table(session.start().hidden, torch.arange(VOCABULARY))


@given(spellings(), st.sampled_from(get_args(Score)), st.booleans(), st.integers(1, 5))
def test_finds_what_the_model_itself_finds(
    catalog: list[np.ndarray], score: Score, exact: bool, k: int
) -> None:
    trie, model = CatalogTrie.build(catalog), HashRuntime(VOCABULARY)
    leaves = EligibleLeaves(LeafFilter(trie, torch.ones(len(catalog), dtype=torch.bool)), [[], []])
    prompts = [[1, 2], [3]]
    mine = search(model, prompts, trie, leaves, k, k, score, exact=exact)
    engine = VLLMRuntime("hash", HashEngine(model))
    theirs = search(engine, prompts, trie, leaves, k, k, score, exact=exact)
    for one, other in zip(mine, theirs, strict=True):
        assert one.items == other.items
        assert one.scores == pytest.approx(other.scores, abs=1e-4)
        assert one.certified == other.certified


def test_a_wide_node_takes_several_requests_and_forced_tokens_none_of_their_own() -> None:
    wide = 2 * MOST + 1
    catalog = [np.array([token, 0, 0, 0], np.int32) for token in range(wide)]
    trie, engine = CatalogTrie.build(catalog), HashEngine(HashRuntime(wide))
    leaves = EligibleLeaves(LeafFilter(trie, torch.ones(wide, dtype=torch.bool)), [[]])
    search(VLLMRuntime("hash", engine), [[5]], trie, leaves, 3, 3, "catalog")
    assert [(one.path, len(one.tokens)) for one in engine.asked] == [
        ([5], MOST),
        ([5], MOST),
        ([5], 1),
    ]


def wide_bundle(folder: Path, seed: int = 0) -> Path:
    """Titles that begin with so many tokens that the root takes two requests, head_dim 32."""
    first = [chr(0x21 + n % 90) + chr(0x21 + n // 90) for n in range(150)]
    frame = {"item": [f"i{n}" for n in range(150)], "title": [f"{one} story" for one in first]}
    bundle = random_bundle(Catalog(pl.DataFrame(frame)), "item")
    model = tiny_model(len(bundle.tokenizer), seed, hidden_size=64, head_dim=32)
    path = folder / "bundle"
    Bundle(**{**vars(bundle), "model": model}).save(path)
    return path


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = wide_bundle(tmp_path_factory.mktemp("vllm"))
    command = [sys.executable, "-m", "tests.rec_gen.decoding.vllm_search", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return path, json.loads(done.stdout.splitlines()[-1])


@needs_vllm
@pytest.mark.slow
@pytest.mark.parametrize("case", range(len(CASES)))
def test_vllm_and_transformers_answer_alike(case: int, said: tuple[Path, dict[str, Any]]) -> None:
    path, found = said
    mine = Recommender.load(path, device="cpu").recommend(HISTORIES, **CASES[case])
    for one, other in zip(mine, found["answers"][case], strict=True):
        assert [[item.item.id for item in one], one.certified] == [
            other["items"],
            other["certified"],
        ]
        assert [item.score for item in one] == pytest.approx(other["scores"], abs=1e-4)


@needs_vllm
@pytest.mark.slow
def test_vllm_says_no_more_at_once_than_we_think(said: tuple[Path, dict[str, Any]]) -> None:
    assert said[1]["most"] == MOST


@needs_vllm
@pytest.mark.slow
def test_refuses_engines_that_change_scores(said: tuple[Path, dict[str, Any]]) -> None:
    processed, cache = said[1]["refused"]
    assert "logprobs_mode is 'processed_logprobs'" in processed
    assert "keeps keys and values as fp8" in cache

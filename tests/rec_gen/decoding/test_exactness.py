"""The search against plain transformers: every item spelled out in full, without trie or cache."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
import torch

from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.runtimes import SUPPORTED, runtime_for
from rec_gen.decoding.score import Score
from rec_gen.decoding.search import SearchResult, search
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.testing import tiny_model

VOCABULARY, CLOSE, K = 64, 62, 10
TIE = 1e-6
GROUPED: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2}
SETTINGS: dict[str, dict[str, Any]] = {
    "gemma3_text": {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    "mistral": {"sliding_window": 8},
    "qwen3": {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
}
COMMON = list(range(20, 32))
PROMPTS = {
    "mixed": [[3, 1, 4], list(range(40, 57)), [9, 9, 8, 8, 7, 7, 6, 6, 5]],
    "common beginning": [[*COMMON, *range(9)], [*COMMON, 1], COMMON, [*COMMON, 1]],
}


@dataclass(frozen=True)
class Reference:
    """What a model says at each token of each item after one prompt.

    Attributes:
        paths: int64 [items, longest], padded with -1.
        logits: float64 [items, longest], of the tokens.
        normalizers: float64 [items, longest], over the vocabulary.
    """

    paths: torch.Tensor
    logits: torch.Tensor
    normalizers: torch.Tensor

    def scores(self, eligible: torch.Tensor, score: Score) -> torch.Tensor:
        """The score of each item, -inf where it is not eligible; float64 [items]."""
        paths, logits = self.paths[eligible], self.logits[eligible]
        steps = logits - self.normalizers[eligible]
        if score == "catalog":
            steps = torch.stack(list(_renormalized(paths, logits)), dim=1)
        scores = torch.full((len(self.paths),), -torch.inf, dtype=torch.float64)
        scores[eligible] = steps.where(paths >= 0, 0).sum(1)
        return scores


def _renormalized(paths: torch.Tensor, logits: torch.Tensor) -> Iterator[torch.Tensor]:
    """At each depth, log-probabilities among the different tokens that follow a prefix."""
    prefix = torch.zeros(len(paths), dtype=torch.int64)
    for tokens, column in zip(paths.T, logits.T, strict=True):
        children, child = torch.unique(
            torch.stack([prefix, tokens], dim=1), dim=0, return_inverse=True
        )
        first = torch.full((len(children),), len(paths))
        first.scatter_reduce_(0, child, torch.arange(len(paths)), "amin")
        sums = torch.zeros(int(prefix.max()) + 1, dtype=torch.float64)
        sums.index_add_(0, children[:, 0], column[first].exp())
        yield column - sums.log()[prefix]
        prefix = child


@torch.inference_mode()
def read_all(model: torch.nn.Module, prompt: Sequence[int], paths: torch.Tensor) -> Reference:
    """Read the prompt and every spelling in full."""
    logits, normalizers = [], []
    for part in torch.split(paths, 1000):
        ids = torch.cat([torch.tensor(prompt).expand(len(part), -1), part.clamp(min=0)], dim=1)
        output = model(input_ids=ids, use_cache=False, logits_to_keep=paths.shape[1] + 1)
        states = output.logits[:, :-1]
        normalizers.append(states.logsumexp(2))
        logits.append(states.gather(2, part.clamp(min=0)[:, :, None])[:, :, 0])
    return Reference(paths, torch.cat(logits).double(), torch.cat(normalizers).double())


def titles(items: int) -> torch.Tensor:
    """Closed titles of up to six tokens, some of them much more frequent; padded with -1."""
    generator = np.random.default_rng(0)
    rows = (60 ** generator.random((3 * items, 7))).astype(np.int64)
    lengths = generator.integers(1, 7, len(rows))
    rows[np.arange(len(rows)), lengths] = CLOSE
    rows[np.arange(7) > lengths[:, None]] = -1
    return torch.from_numpy(generator.permutation(np.unique(rows, axis=0))[:items])


def check(result: SearchResult, expected: torch.Tensor) -> None:
    """Right scores, and where the answer is certified the best items in order, but for ties."""
    count = min(K, int(expected.isfinite().sum()))
    assert len(set(result.items)) == len(result.items) == count
    own, best = expected[result.items], expected.topk(count)
    assert result.scores == pytest.approx(own.tolist(), abs=1e-4)
    if result.certified and result.items != best.indices.tolist():
        torch.testing.assert_close(own, best.values, rtol=0, atol=TIE)


def check_model(model_type: str, items: int, beam_width: int) -> int:
    """Compare the searches of one model; returns how many answers were certified unasked."""
    paths = titles(items)
    assert len(paths) == items
    settings = GROUPED | SETTINGS.get(model_type, {})
    model = tiny_model(VOCABULARY, model_type=model_type, **settings)
    runtime = runtime_for(model)
    trie = CatalogTrie.build([path[path >= 0].numpy().astype(np.int32) for path in paths])
    everything = torch.ones(items, dtype=torch.bool)
    half = torch.rand(items, generator=torch.Generator().manual_seed(0)) < 0.5
    certified = 0
    for prompts in PROMPTS.values():
        references = [read_all(model, prompt, paths) for prompt in prompts]
        kinds = ((everything, True), (half, True), (half, False))
        for (eligible, exact), score in product(kinds, get_args(Score)):
            best = [reference.scores(eligible, score).topk(3).indices for reference in references]
            excluded = [[], *(row.tolist() for row in best[1:])]
            leaves = EligibleLeaves(LeafFilter(trie, eligible), excluded)
            width = 3 if exact else beam_width
            results = search(runtime, prompts, trie, leaves, K, width, score, exact=exact)
            for reference, seen, result in zip(references, excluded, results, strict=True):
                assert result.certified or not exact
                certified += result.certified and not exact
                allowed = eligible.clone()
                allowed[seen] = False
                check(result, reference.scores(allowed, score))
    return certified


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_every_architecture_finds_what_spelling_out_500_items_finds(model_type: str) -> None:
    assert check_model(model_type, 500, 500) == 14


@pytest.mark.slow
@pytest.mark.parametrize("model_type", SUPPORTED)
def test_every_architecture_finds_what_spelling_out_10_000_items_finds(model_type: str) -> None:
    assert check_model(model_type, 10_000, 50)

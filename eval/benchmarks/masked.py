"""The usual way to constrain: a mask over the vocabulary, filled from a Python trie at each step.

Beam search by hand, as GENRE (De Cao et al., 2021) and recommenders after it do it: each beam has
its own copy of the prompt's cache, every step masks all logits but those of the children, and the
cache is reordered with the beams. Scores are log-probabilities over the whole vocabulary.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache, PreTrainedModel

Spelling = npt.NDArray[np.int32]


@torch.inference_mode()
def masked_search(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    tries: Sequence[dict[int, Any]],
    k: int,
) -> list[list[int]]:
    """Find items by beam search with `k` beams; it may find fewer.

    Args:
        model: A causal language model.
        prompts: Token ids, one prompt a request.
        tries: For each request the items that it may return, see `nested_trie`.
        k: Beams, and items to return at most.

    Returns:
        For each request catalog positions, best first.
    """
    cache, attention, logits = _read(model, prompts, k)
    beams = [[trie, *[{}] * (k - 1)] for trie in tries]
    scores = torch.full((len(prompts), k), -torch.inf)
    scores[:, 0] = 0
    found: list[list[tuple[float, int]]] = [[] for _ in prompts]
    while True:
        steps = logits.float().log_softmax(1) + _mask(beams, logits)
        candidates = (scores.view(-1, 1) + steps).view(len(prompts), -1)
        scores, index = candidates.topk(k)
        parents, tokens = index // steps.shape[1], index % steps.shape[1]
        for user, pairs in enumerate(found):
            chosen = zip(parents[user].tolist(), tokens[user].tolist(), strict=True)
            nodes = [beams[user][parent].get(token, {}) for parent, token in chosen]
            ranked = list(zip(scores[user].tolist(), nodes, strict=True))
            pairs += [pair for pair in ranked if isinstance(pair[1], int)]
            worst = sorted((score for score, _ in pairs), reverse=True)[k - 1 : k] or [-torch.inf]
            alive = [isinstance(node, dict) and score > worst[0] for score, node in ranked]
            beams[user] = [node if live else {} for node, live in zip(nodes, alive, strict=True)]
            scores[user, ~torch.tensor(alive)] = -torch.inf
        if not any(node for nodes in beams for node in nodes):
            return [[item for _, item in sorted(pairs, reverse=True)[:k]] for pairs in found]
        cache.reorder_cache((parents + torch.arange(len(prompts))[:, None] * k).flatten())
        attention = torch.cat([attention, attention.new_ones(len(attention), 1)], dim=1)
        logits = _step(model, tokens.view(-1, 1), attention, cache)


def nested_trie(spellings: Sequence[Spelling], left_out: Collection[int]) -> dict[int, Any]:
    """A trie of dictionaries with the item in the place of its last token."""
    trie: dict[int, Any] = {}
    for item, spelling in enumerate(spellings):
        if item not in left_out:
            *path, last = spelling.tolist()
            node = trie
            for token in path:
                node = node.setdefault(token, {})
            node[last] = item
    return trie


def _read(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], k: int
) -> tuple[DynamicCache, torch.Tensor, torch.Tensor]:
    """Read the prompts, padded on the left, and copy what was read for every beam."""
    width = max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.int64)
    attention = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        attention[row, width - len(prompt) :] = 1
    cache = DynamicCache(config=model.config)
    logits = _step(model, ids, attention, cache)
    cache.batch_repeat_interleave(k)
    return cache, attention.repeat_interleave(k, 0), logits.repeat_interleave(k, 0)


def _step(
    model: PreTrainedModel, ids: torch.Tensor, attention: torch.Tensor, cache: DynamicCache
) -> torch.Tensor:
    """The logits after the last token of each row, [rows, vocabulary]."""
    positions = (attention.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    output = model(
        input_ids=ids,
        attention_mask=attention,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits: torch.Tensor = output.logits[:, -1]
    return logits


def _mask(beams: list[list[dict[int, Any]]], logits: torch.Tensor) -> torch.Tensor:
    """Nothing at the children of each beam, -inf elsewhere; float32 [beams, vocabulary]."""
    mask = torch.full(logits.shape, -torch.inf)
    for row, node in zip(mask, (node for nodes in beams for node in nodes), strict=True):
        row[list(node)] = 0
    return mask

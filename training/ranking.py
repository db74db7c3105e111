"""The validation ranking: NDCG@10 and recall@10 by constrained decoding."""

from collections.abc import Sequence

import numpy as np

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Example
from rec_gen.metrics import ndcg, recall
from rec_gen.recommender import Recommender

NDCG, RECALL = "ndcg@10", "recall@10"


def sample_examples(examples: Sequence[Example], count: int | None, seed: int) -> list[Example]:
    """A seeded sample, in the order of the examples; all of them when `count` is None."""
    if count is None or count >= len(examples):
        return list(examples)
    chosen = np.random.default_rng(seed).choice(len(examples), count, replace=False)
    return [examples[index] for index in np.sort(chosen)]


def rank_examples(
    bundle: Bundle, examples: Sequence[Example], beam_width: int, exclude_seen: bool
) -> dict[str, float]:
    """Recommend ten items after each history and score the held-out item by its id.

    Returns:
        The means of NDCG@10 and recall@10; an item that is not among the ten scores 0.
    """
    ids = bundle.catalog.ids
    answers = Recommender(bundle).recommend(
        [[ids[position] for position in example.history] for example in examples],
        k=10,
        exclude_seen=exclude_seen,
        beam_width=beam_width,
    )
    ranks = np.full(len(examples), np.inf)
    for row, (example, answer) in enumerate(zip(examples, answers, strict=True)):
        found = [recommendation.item.id for recommendation in answer]
        if ids[example.target] in found:
            ranks[row] = found.index(ids[example.target])
    return {NDCG: float(ndcg(ranks, 10).mean()), RECALL: float(recall(ranks, 10).mean())}

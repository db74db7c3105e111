"""How much each source of item vectors should weigh, by how well they find the next item.

No model is trained: the joined vectors are asked which item comes next on the validation split, as
`eval.content` does it. What is near what decides which items share codes, so this stands for the
quality of the codes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.content import ContentSimilarity
from rec_gen.counts import Histories, Scores
from rec_gen.data.dataset import Example
from rec_gen.errors import ConfigError
from rec_gen.metrics import Ranks, ndcg
from rec_gen.semantic_ids import Vectors

GRID = (0.25, 0.5, 1.0, 2.0, 4.0)
EXAMPLES = 2000
"""Validation examples that are asked, at most."""
ROUNDS = 2
K = 10

Weights = dict[str, float]


@dataclass(frozen=True)
class Weighing:
    """The weights of some sources.

    Attributes:
        weights: By source; that of the first is 1.
        ndcg: Validation NDCG@10 of the vectors that are joined by them.
        equal: The same where all weigh 1.
        tried: All that was tried, with the same.
    """

    weights: Weights
    ndcg: float
    equal: float
    tried: list[tuple[Weights, float]]


def choose_weights(
    parts: Mapping[str, Vectors], examples: Sequence[Example], seed: int
) -> Weighing:
    """Choose weights by coordinate ascent over `GRID`, the first source staying at 1.

    Args:
        parts: By source, float32 [items, dimensions].
        examples: Validation examples; at most `EXAMPLES` are drawn of them.
        seed: Of the draw.

    Raises:
        ConfigError: There is no example.
    """
    if not examples:
        raise ConfigError("weights are chosen on the validation split, and it holds no interaction")
    drawn = np.random.default_rng(seed).permutation(len(examples))[:EXAMPLES]
    asked = [examples[row] for row in np.sort(drawn)]
    histories = [example.history for example in asked]
    targets = np.array([example.target for example in asked], np.int64)
    scores = {
        source: ContentSimilarity().over(vectors).score(histories)
        for source, vectors in parts.items()
    }
    tried: list[tuple[Weights, float]] = []

    def quality(weights: Weights) -> float:
        known = next((found for each, found in tried if each == weights), None)
        if known is None:
            ranks = Ranks.of_scores(_weighed(scores, weights), targets)
            known = float(ndcg(ranks, K).mean())
            tried.append((dict(weights), known))
        return known

    weights = dict.fromkeys(parts, 1.0)
    equal = quality(weights)
    for _ in range(ROUNDS):
        for source in list(parts)[1:]:
            # of equals the one that stands goes on, then the one nearest to 1
            choices = sorted(GRID, key=lambda w: (w != weights[source], abs(np.log(w))))
            weights[source] = max(choices, key=lambda w: quality({**weights, source: w}))
    return Weighing(weights, quality(weights), equal, tried)


def joined_scores(parts: Mapping[str, Vectors], weights: Weights, histories: Histories) -> Scores:
    """How near each item is to the last items of each history, in the weighed sources together.

    Args:
        parts: By source, float32 [items, dimensions].
        weights: Of the sources that count.
        histories: Catalog positions, oldest first.

    Returns:
        float32 [histories, items].
    """
    near = {source: ContentSimilarity().over(parts[source]).score(histories) for source in weights}
    return _weighed(near, weights)


def _weighed(scores: Mapping[str, Scores], weights: Weights) -> Scores:
    """Products of vectors weigh by the squares of their lengths."""
    return np.asarray(
        sum(np.float32(weights[source] ** 2) * each for source, each in scores.items())
    )

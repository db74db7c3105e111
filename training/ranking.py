"""The validation ranking: NDCG@10 and recall@10 by constrained decoding."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rec_gen.answers import Answer, Recommendation
from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset, Example, Split
from rec_gen.decoding.score import Score
from rec_gen.errors import ConfigError
from rec_gen.metrics import Ranks, ndcg, recall
from rec_gen.recommender import Recommender
from training.processes import share
from training.rating import HeldOutRatings
from training.recipe import ValidationConfig

NDCG, RECALL = "ndcg@10", "recall@10"


def sample_examples(examples: Sequence[Example], count: int | None, seed: int) -> list[Example]:
    """A seeded sample, in the order of the examples; all of them when `count` is None."""
    if count is None or count >= len(examples):
        return list(examples)
    chosen = np.random.default_rng(seed).choice(len(examples), count, replace=False)
    return [examples[index] for index in np.sort(chosen)]


def validation_examples(dataset: Dataset, validation: ValidationConfig, seed: int) -> list[Example]:
    """The validation examples that are ranked.

    Raises:
        ConfigError: The split has none.
    """
    held = sample_examples(list(dataset.examples(Split.VALID)), validation.users, seed)
    if not held:
        raise ConfigError(f"{dataset.name}: the split has no validation example to choose by")
    return held


def rank_examples(
    bundle: Bundle, examples: Sequence[Example], beam_width: int, exclude_seen: bool
) -> dict[str, float]:
    """Recommend ten items after each history and score the held-out item by its id.

    Returns:
        The means of NDCG@10 and recall@10; an item that is not among the ten, or is
        left out as seen, scores 0.
    """
    ids = bundle.catalog.ids
    places = np.full(len(examples), np.inf)
    for row, answer in held_out_answers(bundle, examples, beam_width, exclude_seen).items():
        found, target = [r.item.id for r in answer], ids[examples[row].target]
        if target in found:
            places[row] = found.index(target)
    ranks = Ranks.of_places(places)
    return {NDCG: float(ndcg(ranks, 10).mean()), RECALL: float(recall(ranks, 10).mean())}


def validate(
    bundle: Bundle,
    held: Sequence[Example],
    validation: ValidationConfig,
    ratings: HeldOutRatings | None,
) -> dict[str, float]:
    """What a model scores on the validation split: the ranking, and an AUC where it is taken.

    Args:
        bundle: The model.
        held: The validation examples.
        validation: How they are ranked.
        ratings: What an AUC is taken on, if anything.
    """
    ranked = rank_examples(bundle, held, validation.beam_width, validation.exclude_seen)
    return {**ranked, **(ratings.metrics(bundle) if ratings else {})}


def at_best_step(log_history: Sequence[dict[str, Any]], name: str) -> float:
    """A validation metric at the step that ranked best, from the logs of a trainer."""
    logs = [log for log in log_history if f"eval_{NDCG}" in log]
    return float(max(logs, key=lambda log: log[f"eval_{NDCG}"])[f"eval_{name}"])


def held_out_answers(
    bundle: Bundle,
    examples: Sequence[Example],
    beam_width: int,
    exclude_seen: bool,
    score: Score | None = None,
) -> dict[int, Sequence[Recommendation]]:
    """Recommend ten items after each history whose held-out item may be recommended.

    Several processes share the histories, and each gets all answers.

    Returns:
        The answers by the example's index.
    """
    ids = bundle.catalog.ids
    asked = [
        row
        for row, example in enumerate(examples)
        if not (exclude_seen and example.target in example.history)
    ]

    def recommend(part: Sequence[Example]) -> list[Answer]:
        return Recommender(bundle).recommend(
            [[ids[position] for position in example.history] for example in part],
            k=10,
            exclude_seen=exclude_seen,
            score=score,
            beam_width=beam_width,
            dialogues=[example.dialogue for example in part],
        )

    answers = share(recommend, [examples[row] for row in asked])
    return dict(zip(asked, answers, strict=True))

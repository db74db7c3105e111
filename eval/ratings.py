"""Yes or no to held-out items: a model's chances beside those of counting."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import polars as pl

from eval.counted_ratings import CountedRatings
from eval.intervals import Interval, resampled_intervals
from eval.measures import comparisons
from eval.rating_metrics import RatingMetrics, answer_values, rating_metrics
from eval.reliability import ReliabilityBin, reliability
from eval.significance import Comparison
from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset, Example
from rec_gen.errors import ConfigError
from rec_gen.metrics import Floats
from rec_gen.rating import rate_pairs
from rec_gen.rating_pairs import Pair, held_out_pairs


@dataclass(frozen=True)
class RatingEvaluation:
    """How well systems tell what is liked.

    Attributes:
        pairs: The number of judged pairs of user and item.
        liked_from: From which rating on a pair is a yes; None where the chosen item is the yes.
        systems: By system and metric of `RatingMetrics`, the value and its interval.
        differences: By other system, the model's accuracy and log loss less the other's, paired.
        reliability: By system, its pairs in quantiles of the chances.
    """

    pairs: int
    liked_from: float | None
    systems: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Comparison]]
    reliability: dict[str, list[ReliabilityBin]]

    @property
    def judged(self) -> str:
        """What a yes and what a no is, in words; see `held_out_pairs`."""
        if self.liked_from is not None:
            return f"A yes is a rating from {self.liked_from:g}, a no is one below."
        return (
            "A yes is the held-out item; a no is an item that the user never chose, drawn in "
            "proportion to how often others chose it in training, one for each yes."
        )


@dataclass(frozen=True)
class Questions:
    """Held-out pairs, judged as in the training of a bundle.

    Attributes:
        liked_from: From which rating on a pair is a yes, as the bundle's recipe says.
        pairs: The pairs.
    """

    liked_from: float | None
    pairs: list[Pair]

    @classmethod
    def of(cls, bundle: Bundle, dataset: Dataset, examples: Sequence[Example]) -> "Questions":
        """Ask about held-out interactions; see `held_out_pairs`.

        Raises:
            BundleError: The model did not learn the task `rating`.
            ConfigError: The data has no ratings, or all answers are the same.
        """
        template, manifest = bundle.task_template("rating"), bundle.manifest
        places = {task.name: place for place, task in enumerate(bundle.tasks)}
        liked_from = manifest.recipe["tasks"][places[template.name]]["liked_from"]
        pairs = list(held_out_pairs(dataset, examples, liked_from, manifest.seed))
        if len({pair.liked for pair in pairs}) < 2:
            raise ConfigError(
                f"--ratings: the answers to all {len(pairs)} held-out pairs are the same: choose "
                "another --split"
            )
        return cls(liked_from, pairs)


def evaluate_ratings(
    bundle: Bundle, questions: Questions, counted: CountedRatings, name: str, seed: int
) -> RatingEvaluation:
    """Let a bundle's model and counting answer.

    Args:
        bundle: The model.
        questions: What is asked.
        counted: What counting answers.
        name: The model's name among the systems.
        seed: Of the resamples.

    Raises:
        PromptError: The template cannot render a pair, or not within its budget.
    """
    chances = {
        name: rate_pairs(bundle, questions.pairs),
        counted.name: counted.chances([pair.item for pair in questions.pairs]),
    }
    return score_ratings(questions, chances, name, seed)


def score_ratings(
    questions: Questions, chances: Mapping[str, Floats], reference: str, seed: int
) -> RatingEvaluation:
    """Score the chances of a yes that systems give.

    Args:
        questions: The judged pairs.
        chances: By system, float64 [pairs], from 0 to 1.
        reference: The system that the others are compared with.
        seed: Of the resamples of users.
    """
    liked = np.array([pair.liked for pair in questions.pairs])
    users = [pair.user for pair in questions.pairs]

    def intervals(given: Floats) -> dict[str, Interval]:
        found = resampled_intervals(
            lambda rows: astuple(rating_metrics(liked[rows], given[rows])), users, seed
        )
        metrics = (metric.name for metric in fields(RatingMetrics))
        return dict(zip(metrics, found, strict=True))

    values = {name: pl.DataFrame(answer_values(liked, each)) for name, each in chances.items()}
    return RatingEvaluation(
        pairs=len(liked),
        liked_from=questions.liked_from,
        systems={system: intervals(given) for system, given in chances.items()},
        differences=comparisons(values, reference, users, seed),
        reliability={system: reliability(given, liked) for system, given in chances.items()},
    )

"""The chance that a user likes an item, by counting alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rec_gen.calibration import Calibration
from rec_gen.data.dataset import Dataset
from rec_gen.metrics import Floats
from rec_gen.rating_pairs import DAMPING, item_popularity, mean_ratings, training_pairs

FITTED = 10_000
"""Training pairs that the curve over popularity is fitted on."""


@dataclass(frozen=True, eq=False)
class CountedRatings:
    """A curve over what is counted of an item, the same for all users.

    Attributes:
        name: What is counted.
        scores: float64 [items], the mean rating of each, or the logarithm of one more than its
            popularity.
        curve: The chance of a yes that goes with a score.
    """

    name: str
    scores: Floats
    curve: Calibration

    @classmethod
    def fit(cls, dataset: Dataset, liked_from: float | None, seed: int) -> "CountedRatings":
        """Count training interactions, and fit the curve on them by Platt's method.

        Each interaction that the curve is fitted on is left out of what is counted of its item,
        since a held-out one is not counted either.

        Args:
            dataset: What is counted.
            liked_from: From which rating on an item is liked; without, popularity is counted.
            seed: Draws the items that were not chosen.

        Raises:
            ConfigError: The data has no ratings, or every user chose every item.
            MissingPackageError: scikit-learn is not installed.
        """
        counts = item_popularity(dataset)
        if liked_from is None:
            pairs = list(training_pairs(dataset, None, FITTED, np.random.default_rng(seed)))
            liked = np.array([pair.liked for pair in pairs])
            others = counts[[pair.item for pair in pairs]] - liked
            return cls("popularity", np.log1p(counts), Calibration.fit(np.log1p(others), liked))
        means, sequences = mean_ratings(dataset), list(dataset.sequences())
        items = np.concatenate([sequence.items for sequence in sequences])
        ratings = np.concatenate([s.ratings for s in sequences if s.ratings is not None])
        weights = counts[items] + DAMPING
        others = (means[items] * weights - ratings) / (weights - 1)
        return cls("mean rating", means, Calibration.fit(others, ratings >= liked_from))

    def chances(self, items: Sequence[int]) -> Floats:
        """The chance of a yes to each item, float64 [n]."""
        return np.array([self.curve.probability(score) for score in self.scores[items]])

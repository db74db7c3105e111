"""Counted recommenders to beat: popularity, and those of `rec_gen.counts`.

They know training sequences only, whatever the split they are scored on.
"""

from typing import Protocol, Self

import numpy as np

from rec_gen.counts import Histories, Scores, training_interactions
from rec_gen.data.dataset import Dataset


class Baseline(Protocol):
    """A recommender that scores every item of the catalog."""

    @property
    def name(self) -> str:
        """The name in tables."""

    def fit(self, dataset: Dataset) -> Self:
        """Count the training sequences of a data set."""

    def score(self, histories: Histories) -> Scores:
        """Score the catalog for each history.

        Args:
            histories: Per user, int32 [m] catalog positions, oldest first; may be empty.

        Returns:
            float32 [n, items], higher is better.
        """


class Popularity:
    """The same scores for everyone: each item's number of training interactions."""

    name = "popularity"

    def fit(self, dataset: Dataset) -> Self:
        """Count each item's training interactions."""
        _, items = training_interactions(dataset)
        self._counts = np.bincount(items, minlength=len(dataset.catalog)).astype(np.float32)
        return self

    def score(self, histories: Histories) -> Scores:
        """Score the catalog for each history; see `Baseline.score`."""
        return np.tile(self._counts, (len(histories), 1))

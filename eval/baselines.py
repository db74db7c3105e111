"""Recommenders to beat: popularity, recency, those of `rec_gen.counts`, EASE, ALS, SASRec, text.

They learn from training sequences only, whatever the split they are scored on.
"""

from collections.abc import Callable
from typing import Protocol, Self

import numpy as np

from eval.als import ALS
from eval.content import ContentSimilarity
from eval.ease import EASE
from eval.sasrec import SASRec
from rec_gen.counts import Histories, ItemKNN, MarkovKNN, Scores, training_interactions
from rec_gen.data.dataset import Dataset
from rec_gen.errors import ConfigError


class Baseline(Protocol):
    """A recommender that scores every item of the catalog."""

    @property
    def name(self) -> str:
        """The name in tables."""

    def fit(self, dataset: Dataset) -> Self:
        """Learn from the training sequences of a data set."""

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


class Recency:
    """Popularity in which an interaction weighs the less, the longer ago it was.

    Age is counted in training interactions rather than in days, so that it means the same in
    every data set. Where nothing orders the users' interactions among each other, all have one
    age, and this is popularity. The default was chosen on the validation splits of MovieLens-100K,
    MovieLens-1M and Amazon Industrial.

    Attributes:
        half_life: The share of all training interactions after which a weight has halved.
    """

    name = "recency"

    def __init__(self, half_life: float = 0.05) -> None:
        self.half_life = half_life

    def fit(self, dataset: Dataset) -> Self:
        """Sum the weights of each item's training interactions."""
        _, items = training_interactions(dataset)
        ages = np.concatenate([np.zeros(0), *(one.ages for one in dataset.sequences())])
        weights = 0.5 ** (ages / self.half_life)
        self._weights = np.bincount(items, weights, len(dataset.catalog)).astype(np.float32)
        return self

    def score(self, histories: Histories) -> Scores:
        """Score the catalog for each history; see `Baseline.score`."""
        return np.tile(self._weights, (len(histories), 1))


BASELINES: dict[str, Callable[[], Baseline]] = {
    "popularity": Popularity,
    "recency": Recency,
    "itemknn": ItemKNN,
    "markov": MarkovKNN,
    "ease": EASE,
    "content": ContentSimilarity,
    "als": ALS,
    "sasrec": SASRec,
}
"""What `--baselines` can name; another one needs a line here."""

COUNTED = ("popularity", "recency", "itemknn", "markov", "ease")
"""Those that need nothing but counts, in one pass or in closed form: the default."""


def parse_baselines(text: str) -> tuple[str, ...]:
    """The names in a list with commas, each once.

    Raises:
        ConfigError: A name is not known.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in BASELINES:
            raise ConfigError(f"--baselines: '{name}' is not one of {', '.join(BASELINES)}")
    return names


def default_baselines(dataset: Dataset) -> tuple[tuple[str, ...], dict[str, str]]:
    """The names of the counted baselines that can be had, and why others are left out."""
    reason = EASE.refusal(len(dataset.catalog))
    if reason is None:
        return COUNTED, {}
    return tuple(name for name in COUNTED if name != "ease"), {EASE.name: reason}

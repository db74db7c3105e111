"""From log-probabilities to numbers that people can read."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from rec_gen.config import Config
from rec_gen.errors import MissingPackageError
from rec_gen.metrics import Floats

Scale = Literal["log", "list", "probability"]


class Calibration(Config):
    """Turns an item's score into the probability that it is the next interaction.

    The log-odds are a line over the log-probability. Source: Platt, Probabilistic Outputs for
    Support Vector Machines (1999).

    Attributes:
        slope: Never negative, so that a better score is never a lesser probability.
        intercept: The log-odds at log-probability 0.
    """

    slope: float = Field(ge=0, allow_inf_nan=False)
    intercept: float = Field(allow_inf_nan=False)

    @classmethod
    def fit(cls, scores: Floats, hits: npt.NDArray[np.bool_]) -> "Calibration":
        """Fit the line of the log-odds by logistic regression on Platt's smoothed targets.

        Args:
            scores: float64 [n], finite, at least one.
            hits: bool [n], whether what was scored came true.

        Raises:
            MissingPackageError: scikit-learn is not installed.
        """
        try:
            from sklearn.linear_model import LogisticRegression
        except ImportError as error:
            raise MissingPackageError("scikit-learn", "train") from error

        sure = (hits.sum() + 1) / (hits.sum() + 2)
        target = np.where(hits, sure, 1 / ((~hits).sum() + 2))
        model = LogisticRegression(C=1e9, solver="newton-cholesky")
        model.fit(
            np.tile(scores, 2)[:, None],
            np.repeat([1, 0], len(scores)),
            np.concatenate([target, 1 - target]),
        )
        slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
        if slope > 0:
            return cls(slope=slope, intercept=intercept)
        mean = float(target.mean())  # the scores say nothing of the hits
        return cls(slope=0.0, intercept=float(np.log(mean / (1 - mean))))

    def probability(self, score: float) -> float:
        """The probability that goes with a score."""
        odds = self.slope * score + self.intercept if self.slope else self.intercept
        return 1 / (1 + math.exp(-odds)) if odds > 0 else math.exp(odds) / (1 + math.exp(odds))


def shares(scores: Sequence[float]) -> list[float]:
    """The softmax of scores: what part of their sum each has."""
    top = max(scores)
    weights = [1.0 if score == top else math.exp(score - top) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]

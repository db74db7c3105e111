"""From log-probabilities to numbers that people can read."""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from rec_gen.config import Config

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

"""Do a model's chances come true: items of its lists by their chance, and how many were next."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.lists import RankedLists
from rec_gen.calibration import Calibration
from rec_gen.data.dataset import Example
from rec_gen.metrics import Floats

BINS, K = 10, 10
"""The number of bins, and the length of the lists, that of those that were calibrated on."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions of like chance.

    Attributes:
        predicted: Their mean chance.
        observed: The share that came true.
        pairs: How many they are.
    """

    predicted: float
    observed: float
    pairs: int


def list_reliability(
    lists: RankedLists,
    examples: Sequence[Example],
    calibration: Calibration,
    exclude_seen: bool,
) -> list[ReliabilityBin]:
    """The reliability of the chances that a bundle gives to listed items.

    The calibration was fitted on lists of validation examples; these are of the examples that are
    evaluated. An example whose target may not be listed is left out, as it was there.

    Args:
        lists: The model's answers to n examples, with scores.
        examples: The n examples.
        calibration: What makes a score the chance that the item is the next interaction.
        exclude_seen: Whether the items of a history were taken out of its list.

    Returns:
        At most `BINS` bins of equally many items, by rising chance.
    """
    asked = np.array([not (exclude_seen and e.target in e.history) for e in examples])
    targets = np.array([example.target for example in examples])
    scores = lists.scores[:, :K]
    counted = np.isfinite(scores) & asked[:, None]
    hits = (lists.items[:, :K] == targets[:, None])[counted]
    chances = np.array([calibration.probability(score) for score in scores[counted].tolist()])
    return reliability(chances, hits)


def reliability(chances: Floats, hits: npt.NDArray[np.bool_]) -> list[ReliabilityBin]:
    """Bins of equally many predictions, by rising chance; none of no predictions.

    Source: DeGroot and Fienberg, "The comparison and evaluation of forecasters", 1983; bins of
    equal size as in `rec_gen.metrics.calibration_error`.

    Args:
        chances: float64 [n], from 0 to 1.
        hits: bool [n], what came true.
    """
    order = np.argsort(chances, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    return [
        ReliabilityBin(float(chances[part].mean()), float(hits[part].mean()), len(part))
        for part in parts
    ]

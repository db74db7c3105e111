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
        The bins of `reliability`.
    """
    asked = np.array([not (exclude_seen and e.target in e.history) for e in examples])
    targets = np.array([example.target for example in examples])
    scores = lists.scores[:, :K]
    counted = np.isfinite(scores) & asked[:, None]
    hits = (lists.items[:, :K] == targets[:, None])[counted]
    chances = np.array([calibration.probability(score) for score in scores[counted].tolist()])
    return reliability(chances, hits)


def reliability(chances: Floats, hits: npt.NDArray[np.bool_]) -> list[ReliabilityBin]:
    """Quantiles of predictions, by rising chance; none of no predictions.

    Source: Murphy and Winkler, "Reliability of subjective probability forecasts of precipitation
    and temperature", 1977.

    Args:
        chances: float64 [n], from 0 to 1.
        hits: bool [n], what came true.

    Returns:
        At most `BINS` bins; equal chances stay together, and empty bins are left out.
    """
    if not len(chances):
        return []
    cuts = np.quantile(chances, np.linspace(0, 1, BINS + 1)[1:-1])
    places = np.searchsorted(cuts, chances)
    parts = (places == place for place in np.unique(places))
    return [
        ReliabilityBin(float(chances[part].mean()), float(hits[part].mean()), int(part.sum()))
        for part in parts
    ]

"""Ranking metrics for one held-out item per example, from the places that the item can take.

A metric of a tied item is its expected value when ties are ordered at random, in closed form:
McSherry and Najork, "Computing information retrieval performance measures efficiently in the
presence of tied scores", 2008.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CUTOFFS = (5, 10, 20)
"""The lengths of list that reports show."""


@dataclass(frozen=True)
class Ranks:
    """Where the held-out items of n examples stand; 0 is the first place.

    Attributes:
        best: float64 [n], the first place that a tied item can take, infinity if it is not listed.
        worst: float64 [n], the last such place, infinity if it is not listed.
    """

    best: Floats
    worst: Floats

    @classmethod
    def of_places(cls, places: Floats) -> "Ranks":
        """The ranks of items that are tied with nothing.

        Args:
            places: float64 [n], infinity where an item is not listed.
        """
        return cls(places, places)

    @classmethod
    def of_scores(
        cls, scores: npt.NDArray[np.floating], targets: npt.NDArray[np.integer]
    ) -> "Ranks":
        """The ranks of each row's target among all scores of the row.

        Args:
            scores: float [n, items], higher is better.
            targets: int [n], a column for each row.
        """
        own = np.take_along_axis(scores, targets[:, None], axis=1)
        best = (scores > own).sum(axis=1).astype(np.float64)
        return cls(best, best + (scores == own).sum(axis=1) - 1)


def recall(ranks: Ranks, k: int) -> Floats:
    """Recall@k, with a single target the same as the hit rate: 1 inside the first k, else 0.

    Args:
        ranks: Of n examples.
        k: The length of the list.

    Returns:
        float64 [n], from 0 to 1.
    """
    return _expected(ranks, np.ones(k))


def ndcg(ranks: Ranks, k: int) -> Floats:
    """NDCG@k with a single target: 1 / log2(rank + 2) inside the first k, else 0.

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.

    Args:
        ranks: Of n examples.
        k: The length of the list.

    Returns:
        float64 [n], from 0 to 1.
    """
    return _expected(ranks, 1 / np.log2(np.arange(k) + 2))


def mrr(ranks: Ranks, k: int) -> Floats:
    """The reciprocal rank cut off at k: 1 / (rank + 1) inside the first k, else 0.

    Source: Voorhees, "The TREC-8 question answering track report", 1999.

    Args:
        ranks: Of n examples.
        k: The length of the list.

    Returns:
        float64 [n], from 0 to 1.
    """
    return _expected(ranks, 1 / (np.arange(k) + 1))


def average_precision(ranks: Ranks, k: int) -> Floats:
    """The average precision cut off at k, whose mean is MAP@k.

    With a single target it is the precision at the target's place, and so the reciprocal rank.

    Source: Buckley and Voorhees, "Evaluating evaluation measure stability", 2000.

    Args:
        ranks: Of n examples.
        k: The length of the list.

    Returns:
        float64 [n], from 0 to 1.
    """
    return mrr(ranks, k)


def precision(ranks: Ranks, k: int) -> Floats:
    """Precision@k with a single target: 1 / k inside the first k, else 0.

    Args:
        ranks: Of n examples.
        k: The length of the list; a shorter list counts as filled up with misses.

    Returns:
        float64 [n], from 0 to 1 / k.
    """
    return _expected(ranks, np.full(k, 1 / k))


def f1(ranks: Ranks, k: int) -> Floats:
    """The harmonic mean of an example's precision@k and recall@k: 2 / (k + 1) or 0.

    Source: van Rijsbergen, "Information Retrieval", 1979.

    Args:
        ranks: Of n examples.
        k: The length of the list; a shorter list counts as filled up with misses.

    Returns:
        float64 [n], from 0 to 2 / (k + 1).
    """
    return _expected(ranks, np.full(k, 2 / (k + 1)))


def _expected(ranks: Ranks, gains: Floats) -> Floats:
    """The mean gain of a target over the places that it can take.

    Args:
        ranks: Of n examples.
        gains: float64 [k], the gain of each place of the list; the places behind it have none.

    Returns:
        float64 [n].
    """
    sums = np.append(0.0, np.cumsum(gains))
    start, stop = (
        np.minimum(ends, len(gains)).astype(int) for ends in (ranks.best, ranks.worst + 1)
    )
    listed = np.isfinite(ranks.best)
    places = np.subtract(ranks.worst, ranks.best, out=np.zeros(len(listed)), where=listed) + 1
    return np.asarray((sums[stop] - sums[start]) / places)


def calibration_error(probabilities: Floats, hits: npt.NDArray[np.bool_], bins: int = 10) -> float:
    """The expected calibration error over bins of equally many predictions.

    Source: Naeini, Cooper & Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian
    Binning (2015).

    Args:
        probabilities: float64 [n], at least one.
        hits: bool [n], what happened.
        bins: How many bins the sorted predictions are cut into.

    Returns:
        How far a bin's mean prediction is from its share of hits, on average.
    """
    gaps = probabilities - hits
    parts = np.array_split(gaps[np.argsort(probabilities, kind="stable")], bins)
    return float(sum(abs(part.sum()) for part in parts) / len(gaps))

"""Ranking metrics for one held-out item per example, from the target's rank.

A rank is 0 for the first place; a target inside a run of equal scores has the run's mean rank,
and a target that was not returned has the rank infinity.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CUTOFFS = (5, 10, 20)
"""The lengths of list that reports show."""


def recall(ranks: Floats, k: int) -> Floats:
    """Recall@k, with a single target the same as the hit rate: 1 inside the first k, else 0.

    Args:
        ranks: float64 [n].
        k: The length of the list.

    Returns:
        float64 [n].
    """
    return (ranks < k).astype(np.float64)


def ndcg(ranks: Floats, k: int) -> Floats:
    """NDCG@k with a single target: 1 / log2(rank + 2) inside the first k, else 0.

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.

    Args:
        ranks: float64 [n].
        k: The length of the list.

    Returns:
        float64 [n], from 0 to 1.
    """
    return np.where(ranks < k, 1 / np.log2(ranks + 2), 0.0)


def mrr(ranks: Floats, k: int) -> Floats:
    """The reciprocal rank cut off at k: 1 / (rank + 1) inside the first k, else 0.

    Source: Voorhees, "The TREC-8 question answering track report", 1999.

    Args:
        ranks: float64 [n].
        k: The length of the list.

    Returns:
        float64 [n], from 0 to 1.
    """
    return np.where(ranks < k, 1 / (ranks + 1), 0.0)


def mean_ranks(scores: npt.NDArray[np.floating], targets: npt.NDArray[np.integer]) -> Floats:
    """The rank of each row's target among all scores of the row, ties at their mean rank.

    Args:
        scores: float [n, items], higher is better.
        targets: int [n], a column for each row.

    Returns:
        float64 [n], from 0 to items - 1.
    """
    own = np.take_along_axis(scores, targets[:, None], axis=1)
    ranks: Floats = (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2
    return ranks


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

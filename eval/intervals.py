"""Bootstrap 95 % intervals of means, resampling users.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, percentile intervals; users,
not examples, are drawn, since the examples of one user are not independent (the cluster bootstrap
of Davison and Hinkley, "Bootstrap Methods and their Application", 1997).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
LEVEL = 95


@dataclass(frozen=True)
class Interval:
    """A mean over examples with its 95 % interval.

    Attributes:
        mean: The observed mean.
        low: The lower end.
        high: The upper end.
    """

    mean: float
    low: float
    high: float


def mean_intervals(
    values: npt.NDArray[np.float64], users: Sequence[str], seed: int
) -> list[Interval]:
    """The mean of each column with its interval; all columns share their resamples.

    Args:
        values: float64 [n, m], one row an example.
        users: The n examples' users.
        seed: Of the resampling.

    Returns:
        One interval a column. Of the differences between two systems on the same examples it is
        the paired interval: one that leaves out 0 shows a difference.
    """
    _, groups = np.unique(np.asarray(users), return_inverse=True)
    counts = np.bincount(groups).astype(np.float64)
    columns = [np.bincount(groups, column) for column in values.T]
    sums = np.stack([*columns, counts], axis=1)
    generator = np.random.default_rng(seed)
    draws = np.empty((RESAMPLES, sums.shape[1]))
    for draw in draws:
        chosen = generator.integers(len(sums), size=len(sums))
        draw[:] = np.bincount(chosen, minlength=len(sums)) @ sums
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(draws[:, :-1] / draws[:, -1:], [tail, 100 - tail], axis=0)
    means = values.mean(axis=0)
    return [Interval(*ends) for ends in np.stack([means, low, high], axis=1).tolist()]

"""What is measured: one mapping from name to function a kind, and the intervals of the means."""

from collections.abc import Callable, Sequence

import numpy as np

from eval.background import Background
from eval.beyond_accuracy import average_popularity, catalog_coverage, exposure_gini, novelty
from eval.intervals import Interval, mean_intervals
from eval.lists import RankedLists
from eval.significance import Comparison, compare
from rec_gen.metrics import (
    CUTOFFS,
    Floats,
    Ranks,
    average_precision,
    f1,
    mrr,
    ndcg,
    precision,
    recall,
)

Measure = Callable[[RankedLists, Background], Floats]
"""What each example scores, float64 [n]."""

Summary = Callable[[RankedLists, Background], float]
"""A number of all lists together, such as a share of the catalog."""


K = 10
"""The length of the lists that measures beyond accuracy look at."""


def _by_rank(metric: Callable[[Ranks, int], Floats], k: int) -> Measure:
    return lambda lists, _: metric(lists.ranks, k)


RANK_METRICS = (recall, ndcg, mrr, average_precision, precision, f1)
MEASURES: dict[str, Measure] = {
    f"{metric.__name__}@{k}": _by_rank(metric, k) for metric in RANK_METRICS for k in CUTOFFS
} | {
    f"novelty@{K}": lambda lists, known: novelty(
        lists.items[:, :K], known.choosers, len(known.trained_users)
    ),
    f"popularity@{K}": lambda lists, known: average_popularity(
        lists.items[:, :K], known.popularity
    ),
}
"""The measures of an example, in the order of all reports; another one needs a line here."""

SUMMARIES: dict[str, Summary] = {
    f"coverage@{K}": lambda lists, known: catalog_coverage(
        lists.items[:, :K], len(known.popularity)
    ),
    f"gini@{K}": lambda lists, known: exposure_gini(lists.items[:, :K], len(known.popularity)),
}
"""The measures of all lists together; another one needs a line here."""


def metric_values(lists: RankedLists, background: Background) -> Floats:
    """What each example scores, float64 [n, measures] in the order of `MEASURES`."""
    return np.stack([measure(lists, background) for measure in MEASURES.values()], axis=1)


def metric_intervals(values: Floats, users: Sequence[str], seed: int) -> dict[str, Interval]:
    """The mean of each measure with its interval; see `mean_intervals`."""
    return dict(zip(MEASURES, mean_intervals(values, users, seed), strict=True))


def differences(
    values: dict[str, Floats], reference: str, users: Sequence[str], seed: int
) -> dict[str, dict[str, Interval]]:
    """By other system and measure, what the reference scores more, paired by example.

    Args:
        values: By system, float64 [n, measures].
        reference: The system that the others are compared with.
        users: The n examples' users.
        seed: Of the bootstrap.
    """
    return {
        system: metric_intervals(values[reference] - other, users, seed)
        for system, other in values.items()
        if system != reference
    }


def comparisons(
    values: dict[str, Floats], reference: str, users: Sequence[str], seed: int
) -> dict[str, dict[str, Comparison]]:
    """The same with p-values and detectable differences; see `compare`."""
    found = compare(values, reference, users, seed)
    return {
        system: {name: each.reversed() for name, each in zip(MEASURES, columns, strict=True)}
        for system, columns in found.items()
    }

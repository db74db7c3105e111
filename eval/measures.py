"""What is measured: one mapping from name to function a kind, and the intervals of the means."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from eval.background import Background
from eval.beyond_accuracy import (
    Categories,
    Lists,
    average_popularity,
    catalog_coverage,
    category_diversity,
    exposure_gini,
    miscalibration,
    novelty,
)
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

CategoryMeasure = Callable[[Lists, Background, Categories], Floats]
"""The same where the items' categories are known, of the first `K` items of each list."""

Summary = Callable[[RankedLists, Background], float]
"""A number of all lists together, such as a share of the catalog."""


K = 10
"""The length of the lists that measures beyond accuracy look at."""


def means_of(values: pl.DataFrame) -> dict[str, float]:
    """The mean of each measure over the examples that it is defined for; NaN where it is for none.

    Args:
        values: A column a measure, a row an example, NaN where it is not defined.
    """
    return values.select(pl.all().fill_nan(None).mean().fill_null(np.nan)).row(0, named=True)


def _by_rank(metric: Callable[[Ranks, int], Floats], k: int) -> Measure:
    return lambda lists, _: metric(lists.ranks, k)


def _cold_recall(lists: RankedLists, known: Background) -> Floats:
    """Recall where the held-out item has no training interaction; NaN for all other examples."""
    return np.where(known.popularity[known.targets] == 0, recall(lists.ranks, K), np.nan)


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

COLD_MEASURES: dict[str, Measure] = {f"cold_recall@{K}": _cold_recall}
"""What is measured besides where a held-out item has no training interaction."""

CATEGORY_MEASURES: dict[str, CategoryMeasure] = {
    f"diversity@{K}": lambda lists, _, members: category_diversity(lists, members),
    f"miscalibration@{K}": lambda lists, known, members: miscalibration(
        lists, known.histories, members
    ),
}
"""What is measured besides where a column of categories was given."""

SUMMARIES: dict[str, Summary] = {
    f"coverage@{K}": lambda lists, known: catalog_coverage(
        lists.items[:, :K], len(known.popularity)
    ),
    f"gini@{K}": lambda lists, known: exposure_gini(lists.items[:, :K], len(known.popularity)),
}
"""The measures of all lists together; another one needs a line here."""


def metric_values(lists: RankedLists, background: Background) -> pl.DataFrame:
    """What each example scores: a row an example, a column (Float64) a measure that there is."""
    columns = {name: measure(lists, background) for name, measure in MEASURES.items()}
    if (background.popularity[background.targets] == 0).any():
        columns |= {name: measure(lists, background) for name, measure in COLD_MEASURES.items()}
    if background.categories:
        first, members = lists.items[:, :K], background.categories.members
        for name, measure in CATEGORY_MEASURES.items():
            columns[name] = measure(first, background, members)
    return pl.DataFrame(columns)


def metric_intervals(values: pl.DataFrame, users: Sequence[str], seed: int) -> dict[str, Interval]:
    """The mean of each column with its interval; see `mean_intervals`."""
    return dict(zip(values.columns, mean_intervals(values.to_numpy(), users, seed), strict=True))


def comparisons(
    values: dict[str, pl.DataFrame], reference: str, users: Sequence[str], seed: int
) -> dict[str, dict[str, Comparison]]:
    """By other system and measure, what the reference scores more; see `compare`.

    Args:
        values: By system, as `metric_values` gives them.
        reference: The system that the others are compared with.
        users: The n examples' users.
        seed: Of the resampling and of the sign flips.
    """
    names = values[reference].columns
    cells = {system: each.to_numpy() for system, each in values.items()}
    found = compare(cells, reference, users, seed)
    return {
        system: {name: each.reversed() for name, each in zip(names, columns, strict=True)}
        for system, columns in found.items()
    }

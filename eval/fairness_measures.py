"""What each example scores in fairness: ranking, exposure of groups of items, explanations."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from eval.background import Background
from eval.beyond_accuracy import Categories, Lists, category_shares
from eval.exposure import exposure_shares, popularity_deviation
from eval.lists import NOTHING, RankedLists
from eval.measures import K
from eval.slices import SHARES, popularity_classes
from rec_gen.metrics import Floats, ndcg, recall

if TYPE_CHECKING:
    from rec_gen.reasons import Reasons

GROUPS = (*SHARES, "cold")
"""The groups of items: of each of the first three comes a third of the training interactions."""
NDCG, RECALL = f"ndcg@{K}", f"recall@{K}"
INTERACTIONS = "interactions"
DEVIATION, EXPLAINED = "popularity deviation", "explained"
EXPOSURES = {group: f"exposure of {group}" for group in GROUPS}


@dataclass(frozen=True, eq=False)
class FairnessMeasures:
    """Measures the first `K` items of lists.

    Attributes:
        background: The examples.
        reasons: What items share, where explanations count too.
        shown: How many of the latest items of a history a prompt shows, which alone explain.
    """

    background: Background
    reasons: "Reasons | None" = None
    shown: int = 0

    @cached_property
    def groups(self) -> Categories:
        """Which group each item is of, bool [items, groups]."""
        classes = popularity_classes(self.background.popularity)
        return np.asarray(classes[:, None] == np.arange(len(GROUPS)))

    @cached_property
    def wanted(self) -> Floats:
        """The groups' shares of each example's history, float64 [n, groups]."""
        histories = self.background.histories
        lengths = np.array([len(history) for history in histories])
        return category_shares(np.concatenate(histories), lengths, self.groups)

    def merit(self) -> dict[str, dict[str, float]]:
        """The groups' shares of the training interactions and of the held-out items."""
        counts = self.background.popularity @ self.groups
        held_out = self.groups[self.background.targets].mean(axis=0)
        both = {INTERACTIONS: counts / counts.sum(), "held-out items": held_out}
        return {name: dict(zip(GROUPS, shares.tolist(), strict=True))
                for name, shares in both.items()}  # fmt: skip

    def values(self, lists: RankedLists) -> pl.DataFrame:
        """What each example scores: a row an example, a column (Float64) a measure.

        A recall of a group is that of the examples whose held-out item is of the group, NaN for
        others. What is explained of a group is the share of its items in a list; NaN where it has
        none there.
        """
        first = lists.items[:, :K]
        hits = recall(lists.ranks, K)
        targets = self.groups[self.background.targets]
        columns = {NDCG: ndcg(lists.ranks, K), RECALL: hits}
        columns |= dict(zip(EXPOSURES.values(), exposure_shares(first, self.groups).T, strict=True))
        columns[DEVIATION] = popularity_deviation(first, self.background.histories, self.groups)
        for group, inside in zip(GROUPS, targets.T, strict=True):
            columns[f"recall of {group}"] = np.where(inside, hits, np.nan)
        if self.reasons is not None:
            columns |= self._explained(first, self.reasons)
        return pl.DataFrame(columns)

    def _explained(self, lists: Lists, reasons: "Reasons") -> dict[str, Floats]:
        listed = lists != NOTHING
        found = np.zeros(lists.shape)
        for row, history in enumerate(self.background.histories):
            shown = history[-self.shown :].tolist()
            found[row] = [item != NOTHING and bool(reasons.all(shown, item))
                          for item in lists[row].tolist()]  # fmt: skip
        parts = {EXPLAINED: listed} | {
            f"{EXPLAINED} of {group}": listed & inside[lists]
            for group, inside in zip(GROUPS, self.groups.T, strict=True)
        }
        return {name: _mean_where(found, part) for name, part in parts.items()}


def _mean_where(values: Floats, part: Categories) -> Floats:
    """The mean of some values of each row, NaN for a row without any."""
    counts = part.sum(axis=1)
    sums = np.where(part, values, 0).sum(axis=1)
    empty = np.full(len(values), np.nan)
    return np.asarray(np.divide(sums, counts, out=empty, where=counts > 0))

"""Groups of users, and whether the gap between them is more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from eval.background import Background
from eval.intervals import user_sums
from eval.result_json import Number
from eval.slices import FEWEST, HISTORY, USER, Slice, slices
from rec_gen.errors import ConfigError
from rec_gen.metrics import Floats

PERMUTATIONS = 999


@dataclass(frozen=True)
class Gap:
    """How far the best and the worst served group of users are apart.

    Attributes:
        by: What the users are divided by.
        system: Whose lists these are.
        measure: What differs.
        gap: The largest mean of a group less the smallest.
        chance: The mean of this where the same users are divided at random.
        p: The p-value of the permutation test.
    """

    by: str
    system: str
    measure: str
    gap: Number
    chance: Number
    p: Number


def user_groups(background: Background, columns: Sequence[str]) -> list[Slice]:
    """The examples by length of history, and by columns of the users as in `user.age`.

    Raises:
        ConfigError: There is no such column of the users, or it has too many values.
    """
    for column in columns:
        if not column.startswith(USER):
            raise ConfigError(f"--by {column}: name a column of the users, as in {USER}age")
    return [part for part in slices(background, columns) if part.by in (HISTORY, *columns)]


def largest_gap(
    values: Floats, parts: Sequence[Slice], users: Sequence[str], seed: int
) -> tuple[float, float, float]:
    """The gap between groups of at least `FEWEST` users, that of chance, and its p-value.

    The largest of several differences is never 0, so it is compared with that of the same users
    under shuffled groups (a permutation test; Ernst, "Permutation methods: a basis for exact
    inference", 2004). A user belongs to the group of the first example.

    Args:
        values: float64 [n], what each example scores, NaN where that is undefined.
        parts: The groups.
        users: The n examples' users.
        seed: Of the permutations.

    Returns:
        NaN where fewer than two groups are large enough.
    """
    names, first = np.unique(np.asarray(users), return_index=True)
    labels = np.full(len(names), -1)
    for place, part in enumerate(parts):
        labels[part.rows[first]] = place
    sizes = np.bincount(labels[labels >= 0], minlength=len(parts))
    large = np.flatnonzero(sizes >= FEWEST)
    if len(large) < 2:
        return np.nan, np.nan, np.nan
    inside = np.isin(labels, large)
    groups = np.searchsorted(large, labels[inside])
    sums, counts = (each[inside, 0] for each in user_sums(values[:, None], users))

    def gap(order: npt.NDArray[np.int64]) -> float:
        with np.errstate(invalid="ignore"):
            means = np.bincount(groups, sums[order]) / np.bincount(groups, counts[order])
        return float(np.nanmax(means) - np.nanmin(means))

    found = stats.permutation_test(
        (np.arange(len(sums)),),
        gap,
        permutation_type="pairings",
        n_resamples=PERMUTATIONS,
        alternative="greater",
        rng=seed,
    )
    return float(found.statistic), float(found.null_distribution.mean()), float(found.pvalue)

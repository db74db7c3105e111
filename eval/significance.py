"""Is a difference between two systems on the same examples more than chance?

Users are the units of every test, since the examples of one user are not independent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from eval.intervals import Interval, mean_intervals, user_sums
from eval.result_json import Number
from rec_gen.errors import ConfigError
from rec_gen.metrics import Floats

FLIPS = 9999
"""Random sign flips of a test, so that its smallest p-value is 0.0001."""
SIZE, POWER = 0.05, 0.8
CELLS = 2**22
"""Signs that are held in memory at once."""
ROUNDING = 1e-12
"""Sums that differ by less than this share are equal."""


@dataclass(frozen=True)
class Comparison(Interval):
    """The difference of two systems in one metric, paired by example.

    Attributes:
        p: The p-value of the randomisation test; see `randomization_test`.
        p_holm: The same, corrected for the number of systems; see `holm`.
        detectable: What true difference is found in `POWER` of cases; NaN where nothing varies.
            See `detectable_differences`.
        level: The level of the test that this is for: `SIZE` over the number of systems that are
            compared, as in the first step of Holm's correction. Results that were kept from before
            it was corrected do not name it.
    """

    p: float
    p_holm: float
    detectable: Number
    level: float = SIZE


def compare(
    values_by_system: Mapping[str, Floats], reference: str, users: Sequence[str], seed: int
) -> dict[str, list[Comparison]]:
    """Compare systems with a reference in some metrics.

    Args:
        values_by_system: float64 [n, m] each, what each example scores in each metric, NaN where
            that is undefined; an example counts where it is defined for both.
        reference: The system that the others are compared with.
        users: The n examples' users.
        seed: Of the resampling and of the sign flips.

    Returns:
        By system, all but the reference, in the order of `values_by_system`: what it scores more
        than the reference in each metric.

    Raises:
        ConfigError: The reference is none of the systems.
    """
    if reference not in values_by_system:
        raise ConfigError(
            f"reference: no system is named '{reference}'; take {', '.join(values_by_system)}"
        )
    others = {name: values for name, values in values_by_system.items() if name != reference}
    if not others:
        return {}
    differences = np.concatenate([v - values_by_system[reference] for v in others.values()], axis=1)
    intervals = mean_intervals(differences, users, seed)
    p = randomization_test(differences, users, seed)
    corrected = np.stack([holm(family) for family in p.reshape(len(others), -1).T], axis=1).ravel()
    level = SIZE / len(others)
    detectable = detectable_differences(differences, users, level)
    columns = zip(p.tolist(), corrected.tolist(), detectable.tolist(), strict=True)
    found = [
        Comparison(each.mean, each.low, each.high, *column, level)
        for each, column in zip(intervals, columns, strict=True)
    ]
    size = len(found) // len(others)
    return {name: found[row * size :][:size] for row, name in enumerate(others)}


def randomization_test(differences: Floats, users: Sequence[str], seed: int) -> Floats:
    """The two-sided paired randomisation test: flip the sign of a user's differences at random.

    Under the null hypothesis the two systems could change names for any user. The observed signs
    count as one of the flips, so the p-value is never 0 and the test is valid for any number of
    users; all columns share their flips.

    Source: Smucker, Allan and Carterette, "A comparison of statistical significance tests for
    information retrieval evaluation", 2007; the observed one counts by Phipson and Smyth,
    "Permutation p-values should never be zero", 2010.

    Args:
        differences: float64 [n, m], one row an example; NaN where it is undefined.
        users: The n examples' users.
        seed: Of the flips.

    Returns:
        float64 [m], the p-values; 1 where nothing differs.
    """
    sums, _ = user_sums(differences, users)
    observed = sums.sum(axis=0)
    least = np.abs(observed) - ROUNDING * np.abs(sums).sum(axis=0)
    generator = np.random.default_rng(seed)
    reached = np.ones(len(observed))
    rows = max(1, CELLS // len(sums))
    for start in range(0, FLIPS, rows):
        shape = min(rows, FLIPS - start), len(sums)
        flipped = generator.integers(2, size=shape, dtype=np.int8).astype(np.float64)
        reached += (np.abs(observed - 2 * (flipped @ sums)) >= least).sum(axis=0)
    return reached / (FLIPS + 1)


def holm(p: Floats) -> Floats:
    """Correct p-values so that no more than 5 % of families have a false discovery at 0.05.

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.

    Args:
        p: float64 [m], the p-values of one family.

    Returns:
        float64 [m], in the same order, none below its `p` and none above 1.
    """
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def detectable_differences(
    differences: Floats, users: Sequence[str], level: float = SIZE
) -> Floats:
    """The smallest true difference that one such comparison finds with power 0.8.

    It rests on the observed spread over users.

    Source: Bloom, "Minimum detectable effects: a simple way to report the statistical power of
    experimental designs", 1995; the standard error of a mean over clusters is that of Cochran,
    "Sampling Techniques", 1977.

    Args:
        differences: float64 [n, m], one row an example; NaN where it is undefined.
        users: The n examples' users.
        level: The level of the test.

    Returns:
        float64 [m], in the units of the metric; NaN where fewer than two users have a value, or
        where all of them differ by the same.
    """
    sums, counts = user_sums(differences, users)
    units, total = (counts > 0).sum(axis=0), counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        residuals = sums - counts * (sums.sum(axis=0) / total)
        spread = np.sqrt((residuals**2).sum(axis=0))
        errors = spread * np.sqrt(units / (units - 1)) / total
        reach = stats.t.ppf(1 - level / 2, units - 1) + stats.t.ppf(POWER, units - 1)
    flat = spread <= ROUNDING * np.sqrt((sums**2).sum(axis=0))
    return np.where(flat, np.nan, errors * reach)

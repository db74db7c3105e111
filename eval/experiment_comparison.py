"""How the arms of an experiment are compared with its baseline."""

from collections.abc import Mapping, Sequence

import numpy as np

from eval.intervals import Interval, mean_intervals
from rec_gen.metrics import Floats

METHOD = (
    "Differences are paired by example, with 95 % bootstrap intervals over users; they are not "
    "corrected for the number of arms."
)


def compare(
    values_by_arm: Mapping[str, Floats], reference: str, users: Sequence[str], seed: int
) -> dict[str, Interval]:
    """Compare arms with one of them in one metric.

    Args:
        values_by_arm: By arm, float64 [n], what each example scores.
        reference: The arm that the others are compared with.
        users: The n examples' users.
        seed: Of the resampling.

    Returns:
        By arm, all but the reference, its mean less that of the reference.
    """
    others = [arm for arm in values_by_arm if arm != reference]
    if not others:
        return {}
    differences = [values_by_arm[arm] - values_by_arm[reference] for arm in others]
    intervals = mean_intervals(np.stack(differences, axis=1), users, seed)
    return dict(zip(others, intervals, strict=True))

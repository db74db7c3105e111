import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.calibration import Calibration, shares


@given(
    st.floats(0, 1e3),
    st.floats(-1e3, 1e3),
    st.lists(st.floats(max_value=0), min_size=2, max_size=9),
)
def test_a_better_score_is_never_a_lesser_probability(
    slope: float, intercept: float, scores: list[float]
) -> None:
    calibration = Calibration(slope=slope, intercept=intercept)
    probabilities = [calibration.probability(score) for score in sorted(scores)]
    assert probabilities == sorted(probabilities)
    assert 0 <= probabilities[0] <= probabilities[-1] <= 1


@given(st.lists(st.floats(max_value=1e300), min_size=1, max_size=9))
def test_shares_sum_to_one(scores: list[float]) -> None:
    assert sum(shares(scores)) == pytest.approx(1)
    assert shares([math.log(1), math.log(3)]) == pytest.approx([0.25, 0.75])

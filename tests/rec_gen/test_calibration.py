import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.calibration import Calibration, shares
from rec_gen.metrics import calibration_error


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


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of an overconfident model, and hits by the true chance."""
    rng = np.random.default_rng(seed)
    scores = -rng.exponential(2.0, count)
    chances = 1 / (1 + np.exp(-(0.5 * scores - 1)))
    return scores, rng.random(count) < chances


def test_is_near_the_hit_rate_of_data_it_has_not_seen() -> None:
    calibration = Calibration.fit(*drawn(5000, 0))
    assert calibration.slope == pytest.approx(0.5, abs=0.1)
    assert calibration.intercept == pytest.approx(-1, abs=0.1)
    scores, hits = drawn(5000, 1)
    probabilities = np.array([calibration.probability(score) for score in scores])
    assert calibration_error(probabilities, hits) < 0.03 < calibration_error(np.exp(scores), hits)
    assert probabilities.mean() == pytest.approx(hits.mean(), abs=0.02)


@pytest.mark.parametrize("hits", [[False] * 4, [True] * 4, [False, False, True, True]])
def test_few_examples_make_no_certainty(hits: list[bool]) -> None:
    calibration = Calibration.fit(np.array([-4.0, -3.0, -2.0, -1.0]), np.array(hits))
    assert 0 < calibration.probability(-5) <= calibration.probability(0) < 1


def test_scores_against_the_hits_give_one_probability() -> None:
    scores = np.repeat([-1.0, -2.0], 50)
    calibration = Calibration.fit(scores, scores == -2)
    assert calibration.slope == 0
    assert calibration.probability(-1) == pytest.approx(0.5)
    assert calibration.probability(-math.inf) == pytest.approx(0.5)


def test_error_is_the_gap_to_the_hit_rate() -> None:
    probabilities = np.array([0.1, 0.1, 0.9, 0.9])
    hits = np.array([False, True, True, True])
    assert calibration_error(probabilities, hits, bins=2) == pytest.approx((0.4 + 0.1) / 2)
    assert calibration_error(np.array([0.5]), np.array([True])) == pytest.approx(0.5)

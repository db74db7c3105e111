import math
from pathlib import Path

import numpy as np
import pytest

from rec_gen.bundle import Bundle
from rec_gen.metrics import calibration_error
from tests.toy import toy_dataset, toy_recipe
from training.calibration import fit
from training.sft import train


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of an overconfident model, and hits by the true chance."""
    rng = np.random.default_rng(seed)
    scores = -rng.exponential(2.0, count)
    chances = 1 / (1 + np.exp(-(0.5 * scores - 1)))
    return scores, rng.random(count) < chances


def test_is_near_the_hit_rate_of_data_it_has_not_seen() -> None:
    calibration = fit(*drawn(5000, 0))
    assert calibration.slope == pytest.approx(0.5, abs=0.1)
    assert calibration.intercept == pytest.approx(-1, abs=0.1)
    scores, hits = drawn(5000, 1)
    probabilities = np.array([calibration.probability(score) for score in scores])
    assert calibration_error(probabilities, hits) < 0.03 < calibration_error(np.exp(scores), hits)
    assert probabilities.mean() == pytest.approx(hits.mean(), abs=0.02)


@pytest.mark.parametrize("hits", [[False] * 4, [True] * 4, [False, False, True, True]])
def test_few_examples_make_no_certainty(hits: list[bool]) -> None:
    calibration = fit(np.array([-4.0, -3.0, -2.0, -1.0]), np.array(hits))
    assert 0 < calibration.probability(-5) <= calibration.probability(0) < 1


def test_scores_against_the_hits_give_one_probability() -> None:
    scores = np.repeat([-1.0, -2.0], 50)
    calibration = fit(scores, scores == -2)
    assert calibration.slope == 0
    assert calibration.probability(-1) == pytest.approx(0.5)
    assert calibration.probability(-math.inf) == pytest.approx(0.5)


def test_error_is_the_gap_to_the_hit_rate() -> None:
    probabilities = np.array([0.1, 0.1, 0.9, 0.9])
    hits = np.array([False, True, True, True])
    assert calibration_error(probabilities, hits, bins=2) == pytest.approx((0.4 + 0.1) / 2)
    assert calibration_error(np.array([0.5]), np.array([True])) == pytest.approx(0.5)


def test_training_calibrates_both_scores(tmp_path: Path) -> None:
    bundle = Bundle.load(train(toy_recipe(train={"max_steps": 30}), toy_dataset(), tmp_path))
    assert set(bundle.manifest.calibration) == {"lm", "catalog"}
    metrics = bundle.manifest.metrics
    for score in ("lm", "catalog"):
        assert 0 <= metrics[f"calibration_error_{score}"] < 0.2
        assert f"calibration_error_{score}_raw" in metrics

"""Platt scaling of the scores, fitted on the validation ranking of the finished model."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt

from rec_gen.bundle import Bundle
from rec_gen.calibration import Calibration
from rec_gen.data.dataset import Example
from rec_gen.decoding.score import Score
from rec_gen.metrics import Floats, calibration_error
from training.ranking import held_out_answers
from training.recipe import ValidationConfig

Bools = npt.NDArray[np.bool_]


def calibrate(
    bundle: Bundle, examples: Sequence[Example], validation: ValidationConfig
) -> tuple[dict[str, Calibration], dict[str, float]]:
    """Rank held-out items by each kind of score, and fit what makes it a probability.

    Returns:
        The calibrations by score, empty when nothing was ranked; and for each the expected
        calibration error of the uncalibrated probabilities and of the calibrated ones, these
        fitted on one half of the examples and taken on the other, both ways.
    """
    calibrations: dict[str, Calibration] = {}
    errors: dict[str, float] = {}
    for score in get_args(Score):
        half, values, hits = _ranked(bundle, examples, validation, score)
        if not len(values):
            continue
        calibrations[score] = Calibration.fit(values, hits)
        errors[f"calibration_error_{score}_raw"] = calibration_error(np.exp(values), hits)
        if len(set(half)) == 2:
            crossed = np.empty_like(values)
            for part in (half == 0, half == 1):
                crossed[part] = _apply(Calibration.fit(values[~part], hits[~part]), values[part])
            errors[f"calibration_error_{score}"] = calibration_error(crossed, hits)
    return calibrations, errors


def _ranked(
    bundle: Bundle, examples: Sequence[Example], validation: ValidationConfig, score: Score
) -> tuple[npt.NDArray[np.int64], Floats, Bools]:
    """For each recommended item its example's half, its score and whether it was the next."""
    ids = bundle.catalog.ids
    answers = held_out_answers(
        bundle, examples, validation.beam_width, validation.exclude_seen, score
    )
    rows = [
        (row % 2, recommended.score, recommended.item.id == ids[examples[row].target])
        for row, answer in answers.items()
        for recommended in answer
        if np.isfinite(recommended.score)
    ]
    half, scores, hits = (np.array([row[column] for row in rows]) for column in range(3))
    return half, scores.astype(np.float64), hits.astype(np.bool_)


def _apply(calibration: Calibration, scores: Floats) -> Floats:
    return np.array([calibration.probability(score) for score in scores.tolist()])

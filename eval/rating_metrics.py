"""How well the chances of a yes agree with judged answers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from rec_gen.metrics import Floats


@dataclass(frozen=True)
class RatingMetrics:
    """What answers of yes or no score.

    Attributes:
        accuracy: The share of answers that are right, yes from a chance of 0.5 on.
        f1: The F1 of the answer yes; 0 where nothing was a yes.
        auc: The chance that a yes is rated above a no, half for a tie; NaN if all answers agree.
            Source: Mann and Whitney, "On a test of whether one of two random variables is
            stochastically larger than the other", 1947.
        log_loss: The mean of -ln of the chance that the judged answer was given, in nats; a chance
            of 0 counts as 2.2e-16.
    """

    accuracy: float
    f1: float
    auc: float
    log_loss: float


def rating_metrics(liked: npt.NDArray[np.bool_], chances: Floats) -> RatingMetrics:
    """Score the chances of a yes.

    Args:
        liked: bool [n], the judged answers, at least one.
        chances: float64 [n], from 0 to 1.
    """
    values, answers = answer_values(liked, chances), chances >= 0.5
    return RatingMetrics(
        accuracy=float(values["accuracy"].mean()),
        f1=float(2 * (answers & liked).sum() / max(answers.sum() + liked.sum(), 1)),
        auc=auc(liked, chances),
        log_loss=float(values["log_loss"].mean()),
    )


def auc(liked: npt.NDArray[np.bool_], scores: Floats) -> float:
    """The chance that a yes is scored above a no, half for a tie; NaN if all answers agree.

    Args:
        liked: bool [n], the judged answers.
        scores: float64 [n].
    """
    yes, no = int(liked.sum()), int((~liked).sum())
    wins = rankdata(scores)[liked].sum() - yes * (yes + 1) / 2
    return float(wins / (yes * no)) if yes and no else float("nan")


def answer_values(liked: npt.NDArray[np.bool_], chances: Floats) -> dict[str, Floats]:
    """What each answer scores in the metrics that are means, float64 [n] each.

    Args:
        liked: bool [n], the judged answers.
        chances: float64 [n], from 0 to 1.
    """
    right = (chances >= 0.5) == liked
    given = np.maximum(np.where(liked, chances, 1 - chances), np.finfo(np.float64).eps)
    return {"accuracy": right.astype(np.float64), "log_loss": -np.log(given)}

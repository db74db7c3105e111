"""How well the chances of a yes agree with judged answers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score

from rec_gen.metrics import Floats


@dataclass(frozen=True)
class RatingMetrics:
    """What answers of yes or no score.

    Attributes:
        accuracy: The share of answers that are right, yes from a chance of 0.5 on.
        f1: The F1 of the answer yes; 0 where nothing was a yes.
        auc: The chance that a yes is rated above a no, half for a tie; NaN if all answers agree.
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
    answers, mixed = chances >= 0.5, liked.any() and not liked.all()
    return RatingMetrics(
        accuracy=float(accuracy_score(liked, answers)),
        f1=float(f1_score(liked, answers, zero_division=0)),
        auc=float(roc_auc_score(liked, chances)) if mixed else float("nan"),
        log_loss=float(log_loss(liked, chances, labels=[False, True])),
    )

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score

from eval.rating_metrics import answer_values, rating_metrics

judged = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.4, 0.5, 0.7, 1.0]) | st.floats(0, 1)),
    min_size=1,
    max_size=40,
)


@given(judged)
def test_values_are_scikit_learns(pairs: list[tuple[bool, float]]) -> None:
    liked, chances = (np.array(column) for column in zip(*pairs, strict=True))
    found = rating_metrics(liked, chances)
    answers = chances >= 0.5
    assert found.accuracy == pytest.approx(accuracy_score(liked, answers), abs=1e-9)
    assert found.f1 == pytest.approx(f1_score(liked, answers, zero_division=0), abs=1e-9)
    loss = log_loss(liked, chances, labels=[False, True])
    assert found.log_loss == pytest.approx(loss, abs=1e-9)
    if liked.any() and not liked.all():
        assert found.auc == pytest.approx(roc_auc_score(liked, chances), abs=1e-9)
    else:
        assert math.isnan(found.auc)


@given(judged)
def test_a_mean_over_answers_is_the_metric(pairs: list[tuple[bool, float]]) -> None:
    liked, chances = (np.array(column) for column in zip(*pairs, strict=True))
    values, found = answer_values(liked, chances), rating_metrics(liked, chances)
    assert values["accuracy"].mean() == found.accuracy
    assert values["log_loss"].mean() == found.log_loss


def test_values_by_hand() -> None:
    found = rating_metrics(np.array([True, True, False, False]), np.array([0.8, 0.4, 0.6, 0.2]))
    assert (found.accuracy, found.f1, found.auc) == (0.5, 0.5, 0.75)
    assert found.log_loss == pytest.approx(-(math.log(0.8) + math.log(0.4)) / 2)

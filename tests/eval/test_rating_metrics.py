import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import auc, precision_recall_fscore_support, roc_curve

from eval.rating_metrics import rating_metrics

judged = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.4, 0.5, 0.7, 1.0])),
    min_size=1,
    max_size=40,
)


@given(judged)
def test_values_are_those_of_their_definitions(pairs: list[tuple[bool, float]]) -> None:
    liked, chances = (np.array(column) for column in zip(*pairs, strict=True))
    found = rating_metrics(liked, chances)
    answers = [chance >= 0.5 for chance in chances]
    assert found.accuracy == pytest.approx(np.mean(liked == answers), abs=1e-9)
    _, _, f1, _ = precision_recall_fscore_support(
        liked, answers, average="binary", pos_label=True, zero_division=0
    )
    assert found.f1 == pytest.approx(f1, abs=1e-9)
    given_to = np.maximum(np.where(liked, chances, 1 - chances), np.finfo(float).eps)
    assert found.log_loss == pytest.approx(-np.log(given_to).mean(), abs=1e-9)
    yes, no = chances[liked], chances[~liked]
    if len(yes) and len(no):
        above, equal = (yes[:, None] > no).mean(), (yes[:, None] == no).mean()
        assert found.auc == pytest.approx(above + equal / 2, abs=1e-9)
        false, true, _ = roc_curve(liked, chances)
        assert found.auc == pytest.approx(auc(false, true), abs=1e-9)
    else:
        assert math.isnan(found.auc)


def test_values_by_hand() -> None:
    found = rating_metrics(np.array([True, True, False, False]), np.array([0.8, 0.4, 0.6, 0.2]))
    assert (found.accuracy, found.f1, found.auc) == (0.5, 0.5, 0.75)
    assert found.log_loss == pytest.approx(-(math.log(0.8) + math.log(0.4)) / 2)

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from eval.evaluate import evaluate
from eval.lists import RankedLists
from eval.reliability import BINS, list_reliability, reliability
from rec_gen.calibration import Calibration
from rec_gen.data.dataset import Example, Split
from rec_gen.metrics import Ranks
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from tests.toy import toy_dataset

PREDICTIONS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.7, 1.0]) | st.floats(0, 1), st.booleans()),
    min_size=1,
    max_size=60,
)


@given(PREDICTIONS)
def test_bins_hold_every_prediction_by_rising_chance(pairs: list[tuple[float, bool]]) -> None:
    chances, hits = np.array([p for p, _ in pairs]), np.array([hit for _, hit in pairs])
    bins = reliability(chances, hits)
    counts = np.array([each.pairs for each in bins])
    assert counts.sum() == len(pairs)
    predicted = np.array([each.predicted for each in bins])
    observed = np.array([each.observed for each in bins])
    assert (np.diff(predicted) >= -1e-12).all()
    assert counts @ observed == pytest.approx(hits.sum())


@given(PREDICTIONS)
def test_is_scikit_learns_calibration_curve(pairs: list[tuple[float, bool]]) -> None:
    chances, hits = np.array([p for p, _ in pairs]), np.array([hit for _, hit in pairs])
    observed, predicted = calibration_curve(hits, chances, n_bins=BINS, strategy="quantile")
    found = reliability(chances, hits)
    assert [each.observed for each in found] == pytest.approx(observed.tolist(), abs=1e-9)
    assert [each.predicted for each in found] == pytest.approx(predicted.tolist(), abs=1e-9)


def test_nothing_predicted_is_no_bin() -> None:
    assert reliability(np.empty(0), np.empty(0, bool)) == []


def test_targets_that_may_not_be_listed_and_empty_places_do_not_count() -> None:
    history = np.array([0, 1], np.int32)
    examples = [Example("u", history, 2), Example("v", history, 1), Example("w", history, 3)]
    items = np.array([[2, 3, -1], [2, 3, -1], [2, -1, -1]], np.int32)
    scores = np.array([[0.0, -1, np.nan], [5, 4, np.nan], [-2, np.nan, np.nan]])
    lists = RankedLists(Ranks.of_places(np.array([0, np.inf, np.inf])), items, scores)
    line = Calibration(slope=1.0, intercept=0.0)
    found = list_reliability(lists, examples, line, exclude_seen=True)
    chances = [line.probability(score) for score in (-2, -1, 0)]
    assert [(each.predicted, each.observed, each.pairs) for each in found] == [
        (chance, hit, 1) for chance, hit in zip(chances, (0, 0, 1), strict=True)
    ]
    assert len(list_reliability(lists, examples, line, exclude_seen=False)) == 5


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_an_evaluation_bins_the_chances_that_a_recommender_gives(exclude_seen: bool) -> None:
    dataset = toy_dataset(length=5)
    bundle = random_bundle(dataset.catalog, "item")
    line = Calibration(slope=0.8, intercept=0.3)
    changes = {"fingerprint": dataset.fingerprint, "calibration": {"lm": line}}
    bundle = replace(bundle, manifest=bundle.manifest.model_copy(update=changes))
    recommender = Recommender(bundle)

    def measured(kept: bool, split: Split = Split.TEST) -> list[tuple[float, float, int]]:
        given = bundle if kept else None
        found = evaluate(
            recommender, dataset, split, exclude_seen, 0, baselines=["popularity"],
            bundle=given,
        )  # fmt: skip
        return [(each.predicted, each.observed, each.pairs) for each in found.reliability]

    examples, ids = list(dataset.examples(Split.TEST)), dataset.catalog.ids
    answers = recommender.recommend(
        [[ids[place] for place in example.history] for example in examples],
        k=10, exclude_seen=exclude_seen, scale="probability",
    )  # fmt: skip
    pairs = [
        (each.score, each.item.id == ids[example.target])
        for example, answer in zip(examples, answers, strict=True)
        if not (exclude_seen and example.target in example.history)
        for each in answer
    ]
    chances, hits = (np.array(column) for column in zip(*pairs, strict=True))
    expected = reliability(chances, hits)
    assert sum(each.pairs for each in expected) == len(pairs)
    assert hits.any()
    found = measured(kept=True)
    assert [each[2] for each in found] == [each.pairs for each in expected]
    assert [each[0] for each in found] == pytest.approx([each.predicted for each in expected])
    assert measured(kept=False) == []
    assert measured(kept=True, split=Split.VALID) == []  # the line was fitted there

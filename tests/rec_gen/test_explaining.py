"""Why an item fits: only true sentences, and of these the likeliest."""

import numpy as np
import polars as pl
import pytest

from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset
from rec_gen.errors import BundleError, DataError
from rec_gen.recommender import Recommender
from rec_gen.testing import brute_force
from tests.toy import ITEMS, rated, toy_dataset, toy_recipe
from training.sft import train


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    dataset = rated(toy_dataset())
    mood = pl.Series("mood", [f"mood {item % 4}" for item in range(ITEMS)])
    catalog = Catalog(dataset.catalog.frame.with_columns(mood))
    recipe = toy_recipe(tasks=[{"template": "explanation"}], prompt={"max_tokens": 400})
    moody = Dataset(catalog, dataset.frame, dataset.manifest)
    return Recommender.load(train(recipe, moody, tmp_path_factory.mktemp("run")), device="cpu")


def test_only_what_is_true_is_said(recommender: Recommender) -> None:
    said = recommender.explain(["i1"], [f"i{item}" for item in range(2, ITEMS)])
    for item, sentence in zip(range(2, ITEMS), said, strict=True):
        true = [
            *(["It shares Brand B (brand) with Film 1 birch."] if item % 3 == 1 else []),
            *(["It shares mood 1 (mood) with Film 1 birch."] if item % 4 == 1 else []),
        ]
        assert sentence in true if true else sentence is None
    assert recommender.explain([], ["i1"]) == [None]
    assert recommender.explain(["i1"], []) == []


def test_the_model_chooses_among_what_is_true(recommender: Recommender) -> None:
    history, item = ["i1", "i2"], "i10"  # of the brand of the one, of the mood of the other
    index = recommender._index
    renderer = index.renderer.using(recommender.bundle.task_template("explanation"))
    reasons = index.reasons.all([1, 2], 10)
    assert [reason.field for reason in reasons] == ["mood", "brand"]
    prompt = renderer.render([1, 2], item=10).ids
    answers = [np.array(renderer.answer(reason), np.int32) for reason in reasons]
    scores = brute_force(recommender._runtime, prompt, answers, [True, True], "lm")
    likeliest = renderer.answer_text(reasons[max(scores, key=lambda place: scores[place])])
    assert recommender.explain(history, [item]) == [likeliest]
    assert recommender.explain(history, ["i4", item], batch_size=1)[1] == likeliest


def test_a_wrong_question_is_one_line(recommender: Recommender) -> None:
    with pytest.raises(DataError, match="item 'x' is not in the catalog"):
        recommender.explain(["i1"], ["x"])
    with pytest.raises(BundleError, match="did not learn the task 'search'"):
        recommender.search(["amber"])

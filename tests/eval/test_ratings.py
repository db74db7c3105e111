import json
import math
import sys
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from rich.console import Console
from sklearn.metrics import f1_score, roc_auc_score

from eval.counted_ratings import CountedRatings
from eval.evaluate import evaluate
from eval.intervals import mean_intervals, resampled_intervals
from eval.rating_metrics import rating_metrics
from eval.ratings import Questions, score_ratings
from eval.report import Evaluation
from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import BundleError, ConfigError, MissingPackageError
from rec_gen.metrics import Floats
from rec_gen.rating_pairs import Pair, held_out_pairs
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from tests.rec_gen.test_rating_pairs import chosen
from tests.toy import rated, toy_dataset, toy_recipe
from training.sft import train

chances_of = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 1.0]) | st.floats(0, 1)
answers_of = st.lists(st.tuples(st.booleans(), chances_of), min_size=1, max_size=60)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """What people rate does not only depend on the item."""
    dataset = rated(toy_dataset())
    ratings = np.random.default_rng(0).integers(1, 6, len(dataset.frame)).astype(np.float32)
    noise = np.random.default_rng(1).random(len(ratings)) < 0.3
    frame = dataset.frame.with_columns(rating=np.where(noise, ratings, dataset.frame["rating"]))
    return Dataset(dataset.catalog, frame, dataset.manifest)


@pytest.fixture(scope="module")
def bundle(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A model that learnt to rate for a few steps."""
    tasks = [{"template": "rating", "weight": 2.0, "liked_from": 4.0}]
    recipe = toy_recipe(prompt={"max_tokens": 300}, tasks=tasks)
    return Bundle.load(train(recipe, data, tmp_path_factory.mktemp("rating")))


@pytest.fixture(scope="module")
def evaluation(bundle: Bundle, data: Dataset) -> Evaluation:
    return evaluate(
        Recommender(bundle), data, Split.TEST, False, 0,
        baselines=["popularity"], bundle=bundle, ratings=True,
    )  # fmt: skip


def test_the_model_is_asked_about_each_held_out_item(
    bundle: Bundle, data: Dataset, evaluation: Evaluation
) -> None:
    examples = list(data.examples(Split.TEST))
    ids, found = data.catalog.ids, evaluation.ratings
    assert found is not None
    assert (found.pairs, found.liked_from) == (len(examples), 4.0)
    assert list(found.systems) == ["model", "mean rating"]
    liked = np.array([(example.rating or 0) >= 4 for example in examples])
    chances = Recommender(bundle).rate(
        [[ids[place] for place in example.history] for example in examples],
        [ids[example.target] for example in examples],
    )
    for name, value in asdict(rating_metrics(liked, chances)).items():
        interval = found.systems["model"][name]
        assert interval.mean == pytest.approx(value, abs=1e-9)
        assert interval.low <= interval.mean <= interval.high
    for name, difference in found.differences["mean rating"].items():
        means = [found.systems[system][name].mean for system in ("model", "mean rating")]
        assert difference.mean == pytest.approx(means[0] - means[1], abs=1e-9)
    assert list(found.differences["mean rating"]) == ["accuracy", "log_loss"]
    for bins in found.reliability.values():
        assert sum(each.pairs for each in bins) == len(examples)
        assert [each.predicted for each in bins] == sorted(each.predicted for each in bins)


def test_ratings_stand_in_the_json_and_below_the_tables(evaluation: Evaluation) -> None:
    found = evaluation.ratings
    assert found is not None
    read = json.loads(evaluation.to_json())["ratings"]
    assert read == asdict(found)
    assert set(read["systems"]["model"]["auc"]) == {"mean", "low", "high"}
    assert set(read["reliability"]["model"][0]) == {"predicted", "observed", "pairs"}
    difference = replace(found.differences["mean rating"]["log_loss"], mean=-0.2, p_holm=0.001)
    better = {"mean rating": {"log_loss": difference}}
    text = StringIO()
    shown = replace(evaluation, ratings=replace(found, differences=better))
    shown.render(Console(file=text, width=80))
    lines = text.getvalue().splitlines()
    assert "yes or no to 24 pairs" in text.getvalue()
    assert "A yes is a rating from 4, a no is one below." in text.getvalue()
    chosen = StringIO()
    replace(shown, ratings=replace(found, liked_from=None)).render(Console(file=chosen, width=200))
    assert "a no is an item that the user never chose, drawn in proportion to" in chosen.getvalue()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(" auc") and line.count("[") == 2 for line in lines)
    minus = "\N{MINUS SIGN}"
    line = next(line for line in lines if line.startswith(f"model {minus} mean rating, log_loss"))
    assert f": {minus}.2000 [" in line
    assert line.endswith(": better")


def test_without_ratings_the_chosen_item_is_a_yes(bundle: Bundle) -> None:
    recipe = {**bundle.manifest.recipe, "tasks": [{"template": "rating", "liked_from": None}]}
    manifest = bundle.manifest.model_copy(update={"recipe": recipe})
    dataset = toy_dataset()
    examples = list(dataset.examples(Split.TEST))
    questions = Questions.of(replace(bundle, manifest=manifest), dataset, examples)
    assert questions.liked_from is None
    expected = list(held_out_pairs(dataset, examples, None, manifest.seed))
    assert [(pair.item, pair.liked) for pair in questions.pairs] == [
        (pair.item, pair.liked) for pair in expected
    ]
    assert sum(pair.liked for pair in questions.pairs) == len(examples)


def test_asks_clearly_for_what_is_missing(bundle: Bundle, data: Dataset) -> None:
    examples = list(data.examples(Split.TEST))
    other = random_bundle(data.catalog, "item")
    with pytest.raises(BundleError, match="'random' did not learn the task 'rating': train it"):
        Questions.of(other, data, examples)
    alike = [replace(example, rating=5.0) for example in examples]
    with pytest.raises(ConfigError, match="--ratings: the answers to all 24 held-out pairs are"):
        Questions.of(bundle, data, alike)
    with pytest.raises(ConfigError, match="the data has no ratings"):
        Questions.of(bundle, data, [replace(example, rating=None) for example in examples])


def test_a_missing_package_is_told_before_any_list_is_ranked(
    bundle: Bundle, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    asked: list[str] = []
    monkeypatch.setattr("eval.evaluate.rank_baselines", lambda *_: asked.append("baselines"))
    with pytest.raises(MissingPackageError, match=r"'scikit-learn' .*rec_gen\[train\]"):
        evaluate(
            Recommender(bundle), data, Split.TEST, False, 0,
            baselines=["popularity"], bundle=bundle, ratings=True,
        )  # fmt: skip
    assert not asked


def drawn(seed: int, count: int = 120) -> tuple[Questions, Floats]:
    """Judged pairs of 30 users and chances that know a little of them."""
    generator = np.random.default_rng(seed)
    chances = generator.random(count).round(1)
    liked = generator.random(count) < chances
    users = generator.integers(30, size=count)
    nothing = np.zeros(0, np.int32)
    pairs = [Pair(f"u{u}", nothing, 0, bool(yes)) for u, yes in zip(users, liked, strict=True)]
    return Questions(None, pairs), chances


def test_intervals_are_those_of_scikit_learn_on_resampled_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("eval.intervals.RESAMPLES", 150)
    questions, chances = drawn(0)
    found = score_ratings(questions, {"model": chances}, "model", 5).systems["model"]
    users = [pair.user for pair in questions.pairs]
    liked = np.array([pair.liked for pair in questions.pairs])
    names = sorted(set(users))
    generator = np.random.default_rng(5)
    aucs, scores = [], []
    for _ in range(150):
        drawn_users = generator.integers(len(names), size=len(names))
        weight = np.bincount(drawn_users, minlength=len(names))
        weights = weight[[names.index(user) for user in users]]
        aucs.append(roc_auc_score(liked, chances, sample_weight=weights))
        scores.append(f1_score(liked, chances >= 0.5, sample_weight=weights))
    for name, values in (("auc", aucs), ("f1", scores)):
        ends = [found[name].low, found[name].high]
        np.testing.assert_allclose(ends, np.percentile(values, [2.5, 97.5]), rtol=0, atol=1e-9)


def test_resamples_without_a_number_are_left_out() -> None:
    """Of two users, one in four resamples draws the second alone, whose answers all agree."""
    questions, chances = Questions(None, drawn(0)[0].pairs[:3]), np.array([0.2, 0.6, 0.4])
    users = [replace(pair, user=u) for pair, u in zip(questions.pairs, "aab", strict=True)]
    pairs = [replace(pair, liked=yes) for pair, yes in zip(users, (False, True, True), strict=True)]
    auc = score_ratings(Questions(None, pairs), {"model": chances}, "model", 0)
    assert asdict(auc.systems["model"]["auc"]) == {"mean": 1, "low": 1, "high": 1}


def test_an_interval_of_a_mean_is_the_same_both_ways() -> None:
    questions, chances = drawn(1)
    users = [pair.user for pair in questions.pairs]
    (one,) = mean_intervals(chances[:, None], users, 3)
    (other,) = resampled_intervals(lambda rows: [float(chances[rows].mean())], users, 3)
    assert asdict(one) == pytest.approx(asdict(other), abs=1e-12)


def test_counted_chances_are_calibrated_where_they_were_not_fitted() -> None:
    generator = np.random.default_rng(0)
    taste = generator.random(12)

    def ratings(users: int, prefix: str) -> list[tuple[str, int, float]]:
        return [
            (f"{prefix}{user}", item, 5.0 if generator.random() < taste[item] else 1.0)
            for user in range(users)
            for item in range(12)
            if generator.random() < 0.4
        ]

    counted = CountedRatings.fit(chosen(*ratings(40, "u")), 4.0, seed=0)
    assert counted.name == "mean rating"
    later = ratings(400, "v")
    chances = counted.chances([item for _, item, _ in later])
    liked = np.array([rating > 4 for _, _, rating in later])
    assert chances.mean() == pytest.approx(liked.mean(), abs=0.05)
    order = np.argsort(counted.scores)
    assert (np.diff(counted.chances(order.tolist())) >= 0).all()


def test_a_rating_does_not_count_for_itself() -> None:
    """Each item has one rating, so nothing but itself would tell what it is."""
    once = [(f"u{item}", item, 5.0 if item % 2 else 1.0) for item in range(12)]
    counted = CountedRatings.fit(chosen(*once), 4.0, seed=0)
    assert counted.chances(range(12)) == pytest.approx([0.5] * 12)


def test_popular_items_are_likelier_chosen() -> None:
    crowd = [(f"u{user}", item, 3.0) for user in range(60) for item in range(1 + user % 10)]
    counted = CountedRatings.fit(chosen(*crowd), None, seed=0)
    assert counted.name == "popularity"
    assert counted.scores[0] == pytest.approx(math.log1p(60))
    chances = counted.chances(range(10))
    assert (np.diff(chances) <= 0).all()
    assert ((chances > 0) & (chances < 1)).all()


def test_a_saved_evaluation_keeps_its_ratings(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.save(tmp_path / "result.json")
    read = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert read["ratings"]["pairs"] == 24

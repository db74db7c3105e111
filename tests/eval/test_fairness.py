import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from rich.console import Console

from eval.background import Background
from eval.benchmarks.fairness import draw, main
from eval.exposure_curve import GRIDS, LISTED, SEARCH, XQUAD, Point, strongest, ways_of
from eval.fairness import evaluate_fairness
from eval.fairness_measures import EXPLAINED, EXPOSURES, GROUPS, NDCG, FairnessMeasures
from eval.fairness_report import TAIL, Fairness
from eval.intervals import Interval
from eval.report import MODEL
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError
from rec_gen.prior import Prior
from rec_gen.reasons import Reasons
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from tests.rec_gen.command import error, run
from tests.rec_gen.test_cli import BRIEF
from tests.toy import ITEMS, rated, toy_dataset

KINDS = "[/a]", "[b]"
"""Which rich would read as markup."""


def people(dataset: Dataset) -> Dataset:
    kinds = [KINDS[row % 2] for row in range(len(dataset.users))]
    table = pl.DataFrame({"user": dataset.users, "kind": kinds})
    return Dataset(dataset.catalog, dataset.frame, dataset.manifest, table)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return people(rated(toy_dataset(users=50)))


@pytest.fixture(scope="module")
def recommender(dataset: Dataset) -> Recommender:
    bundle = random_bundle(dataset.catalog, "item", tasks=("explanation",))
    return Recommender(replace(bundle, prior=Prior.fit(dataset, 0.1)))


@pytest.fixture(scope="module")
def found(recommender: Recommender, dataset: Dataset) -> Fairness:
    return evaluate_fairness(recommender, dataset, 0.5, False, 0, ["user.kind"], explanations=True)


def test_the_curve_begins_at_the_model_and_rises(found: Fairness) -> None:
    for name, points in found.curves.items():
        assert [point.strength for point in points] == list(GRIDS[name])
        assert points[0].difference == Interval(0, 0, 0)
        assert points[0].summaries == found.curves[SEARCH][0].summaries
    tails = [point.measures[TAIL].mean for point in found.curves[SEARCH]]
    assert tails == sorted(tails)
    assert tails[-1] > tails[0]
    assert all(list(shares) == list(GROUPS) for shares in found.merit.values())


def test_test_has_what_was_chosen(found: Fairness) -> None:
    assert list(found.measured) == [MODEL, SEARCH, LISTED, XQUAD, "Markov + KNN", "popularity"]
    for measures in found.measured.values():
        assert sum(measures[each].mean for each in EXPOSURES.values()) == pytest.approx(1)
    less = found.differences[MODEL][SEARCH][NDCG].mean
    assert less == pytest.approx(
        found.measured[MODEL][NDCG].mean - found.measured[SEARCH][NDCG].mean
    )
    assert {part.by for part in found.groups} == {"items of the history", "user.kind"}
    assert {gap.by for gap in found.gaps} == {"items of the history", "user.kind"}
    text = Console(width=200, record=True)
    found.render(text)
    shown = text.export_text()
    assert all(kind in shown for kind in KINDS)
    assert f"in the search, {found.chosen[SEARCH]}" in shown
    assert "share of listed items that have an explanation" in shown


def test_the_search_does_what_the_option_does(recommender: Recommender, dataset: Dataset) -> None:
    measures = FairnessMeasures(Background.of(dataset, Split.TEST))
    lists = ways_of(recommender, measures, exclude_seen=False)[SEARCH](0.75)
    ids = dataset.catalog.ids
    histories = [[ids[place] for place in history] for history in measures.background.histories]
    answers = recommender.recommend(histories, ITEMS, exclude_seen=False, exposure=0.75)
    assert [[r.item.id for r in answer] for answer in answers] == [
        [ids[place] for place in row[:ITEMS]] for row in lists.items
    ]


def test_what_is_explained_is_what_the_model_explains(recommender: Recommender) -> None:
    short = rated(toy_dataset(users=8, length=3))
    measures = FairnessMeasures(Background.of(short, Split.TEST), Reasons(short.catalog), 10)
    lists = ways_of(recommender, measures, exclude_seen=True)[SEARCH](0.0)
    shares = measures.values(lists)[EXPLAINED].to_list()
    ids = short.catalog.ids
    for row, past in enumerate(measures.background.histories):
        items = [ids[place] for place in lists.items[row][:10] if place >= 0]
        told = recommender.explain([ids[place] for place in past], items)
        assert shares[row] == pytest.approx(np.mean([sentence is not None for sentence in told]))
        assert 0 < shares[row] < 1


def point(strength: float, lost: float) -> Point:
    return Point(strength, {NDCG: Interval(0.5, 0, 1)}, Interval(-lost, -1, 1), {})


@pytest.mark.parametrize(("budget", "strength"), [(0, 0.1), (0.02, 0.2), (0.2, 0.4)])
def test_nothing_behind_the_first_breach_is_chosen(budget: float, strength: float) -> None:
    points = [point(0, 0), point(0.1, -0.01), point(0.2, 0.01), point(0.3, 0.02), point(0.4, 0)]
    assert strongest(points, budget) == strength


@pytest.mark.parametrize("budget", [-0.1, 1, float("nan")])
def test_refuses_a_budget_without_meaning(
    recommender: Recommender, dataset: Dataset, budget: float
) -> None:
    with pytest.raises(ConfigError, match=r"--budget .*: give a share of NDCG@10"):
        evaluate_fairness(recommender, dataset, budget, True, 0)


@pytest.fixture(scope="module")
def recipe(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    (folder / "data").mkdir()
    dataset.save(folder / "data")
    (folder / "brief.toml").write_text(BRIEF.format(folder=folder))
    return folder / "brief.toml"


@pytest.mark.slow
def test_trains_and_measures_by_one_command(recipe: Path, tmp_path: Path) -> None:
    file, plot = tmp_path / "fairness.json", tmp_path / "fairness.svg"
    options = ["--json", file, "--plot", plot, "--recipe", recipe, "--by", "user.kind",
               "--out", tmp_path / "run"]  # fmt: skip
    result = CliRunner().invoke(main, list(map(str, options)))
    assert result.exit_code == 0, result.output
    record = json.loads(file.read_text())
    figures = record["figures"]
    assert figures["strength"] == record["chosen"][SEARCH]
    assert figures["tail_exposure_search"] == record["measured"][SEARCH][TAIL]["mean"]
    assert plot.read_text().startswith("<?xml")
    bundle = tmp_path / "run" / "bundle"
    again = run("fairness", bundle, "--json", tmp_path / "b")
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "b").read_text())["chosen"] == record["chosen"]
    assert error("fairness", bundle, "--by", "title")[1].startswith("recgen: --by title: name a")
    plain, same, other = (
        run("recommend", bundle, "--history", "i1", *strength).output
        for strength in ((), ("--exposure", 0), ("--exposure", 50))
    )
    assert plain == same != other


def test_the_same_curves_make_the_same_drawing(found: Fairness, tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw(found, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

import json
from io import StringIO
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from eval.background import Background
from eval.beyond_accuracy import Categories, category_diversity, miscalibration
from eval.categories import OTHER, SHOWN, ItemCategories, mean_shares
from eval.evaluate import evaluate
from eval.ranking import rank_baselines
from eval.report import Evaluation
from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from tests.eval.conftest import ITEMS, Draw

GENRES = [["B", "A"], ["B"], [], ["C", " "], None] * (ITEMS // 5)


def with_genres(dataset: Dataset) -> Dataset:
    columns: dict[str, Any] = {
        "genres": pl.Series(GENRES, dtype=pl.List(pl.String)),
        "brand": pl.Series(["Acme ", "Lumen", None, "", "Acme"] * (ITEMS // 5)),
        "year": np.arange(ITEMS),
        "empty": pl.Series([None] * ITEMS, dtype=pl.String),
    }
    return Dataset(
        Catalog(dataset.catalog.frame.with_columns(**columns)), dataset.frame, dataset.manifest
    )


@pytest.fixture
def dataset(draw: Draw) -> Dataset:
    return with_genres(draw(0))


def evaluated(dataset: Dataset, column: str | None) -> Evaluation:
    recommender = Recommender(random_bundle(dataset.catalog, "item"))
    names = ["popularity", "markov"]
    return evaluate(recommender, dataset, Split.TEST, False, 3, baselines=names, categories=column)


def test_text_and_lists_of_text_are_categories(dataset: Dataset) -> None:
    genres = ItemCategories.of(dataset.catalog, "genres")
    assert genres.names == ["A", "B", "C"]
    assert genres.members[:5].astype(int).tolist() == [
        [1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0],
    ]  # fmt: skip
    brands = ItemCategories.of(dataset.catalog, "brand")
    assert brands.names == ["Acme", "Lumen"]
    assert brands.members[:5].argmax(axis=1).tolist() == [0, 1, 0, 0, 0]
    assert brands.members[:5].any(axis=1).tolist() == [True, True, False, False, True]


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ("genre", "--categories genre: the catalog has item, title, genres, brand"),
        ("year", "--categories year: holds Int64; choose a column of text or of lists of text"),
        ("empty", "--categories empty: names 0 categories; choose a column with 1 to 20"),
        ("title", "--categories title: names 25 categories; choose a column with 1 to 20"),
    ],
)
def test_a_column_without_categories_is_refused(
    dataset: Dataset, column: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.categories.MOST_CATEGORIES", 20)
    with pytest.raises(ConfigError, match=f"^{problem}"):
        evaluated(dataset, column)


def test_a_column_that_names_nearly_every_item_is_refused(dataset: Dataset) -> None:
    names = ["twin", "twin", *(f"maker {item}" for item in range(2, ITEMS))]
    frame = dataset.catalog.frame.with_columns(maker=pl.Series(names), half=np.arange(ITEMS) // 2)
    catalog = Catalog(frame.cast({"half": pl.String}))
    for column, each in (("title", "1.0"), ("maker", "1.0"), ("half", "1.9")):
        problem = f"--categories {column}: names .* of {each} items each, which tell items"
        with pytest.raises(ConfigError, match=problem):
            ItemCategories.of(catalog, column)
    assert len(ItemCategories.of(dataset.catalog, "brand").names) == 2


def test_shares_by_hand() -> None:
    members = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]], bool)
    histories = [np.array([0, 1, 2], np.int32), np.array([3]), np.array([2]), np.array([], int)]
    lists = {"one": np.array([[0, -1], [1, 3], [2, -1], [3, 3]], np.int32)}
    found = mean_shares(ItemCategories("kind", ["A", "B", "C"], members), histories, lists)
    assert (found.column, found.names) == ("kind", ["C", "B", "A"])
    assert found.history == pytest.approx([1 / 2, 3 / 8, 1 / 8])
    assert found.lists["one"] == pytest.approx([1.5 / 3, 1 / 3, 1 / 6])


def random_members(items: int, count: int) -> Categories:
    return np.random.default_rng(0).random((items, count)) < 0.2


def test_what_is_not_shown_is_one_share() -> None:
    members, generator = random_members(50, SHOWN + 9), np.random.default_rng(1)
    histories = [generator.integers(50, size=8) for _ in range(30)]
    lists = {"one": generator.integers(50, size=(30, 10)).astype(np.int32)}
    names = [f"c{place:02}" for place in range(SHOWN + 9)]
    found = mean_shares(ItemCategories("kind", names, members), histories, lists)
    assert len(found.names) == SHOWN + 1 == len(found.history) == len(found.lists["one"])
    assert found.names[-1] == OTHER
    assert found.history[:-1] == sorted(found.history[:-1], reverse=True)
    assert sum(found.history) == pytest.approx(1)
    assert sum(found.lists["one"]) == pytest.approx(1)


def test_what_is_not_shown_is_no_category_of_that_name() -> None:
    members, names = random_members(50, SHOWN + 2), [f"c{place}" for place in range(SHOWN)]
    named = ItemCategories("kind", [*names, OTHER, f"({OTHER})"], members)
    found = mean_shares(named, [np.arange(50)], {"one": np.arange(50, dtype=np.int32)[None]})
    assert found.names[-1] == f"(({OTHER}))"
    assert len(set(found.names)) == SHOWN + 1


def test_diversity_and_miscalibration_are_measures_where_a_column_is_given(
    dataset: Dataset,
) -> None:
    plain, found = evaluated(dataset, None), evaluated(dataset, "genres")
    assert plain.categories is None
    added = ["diversity@10", "miscalibration@10"]
    for system, metrics in plain.systems.items():
        assert list(found.systems[system]) == [*metrics, *added]
        assert metrics == {name: found.systems[system][name] for name in metrics}
    for system, compared in found.differences.items():
        for name in added:
            gap = found.systems["model"][name].mean - found.systems[system][name].mean
            assert compared[name].mean == pytest.approx(gap, abs=1e-9)
            assert 0 < compared[name].p_holm <= 1
    assert set(added) < set(found.slices[0].systems["model"])
    background = Background.of(dataset, Split.TEST, "genres")
    lists = rank_baselines(["popularity"], dataset, background.examples, False, 3)["popularity"]
    first, members = lists.items[:, :10], ItemCategories.of(dataset.catalog, "genres").members
    popularity = found.systems["popularity"]
    assert popularity["diversity@10"].mean == pytest.approx(
        np.nanmean(category_diversity(first, members))
    )
    assert popularity["miscalibration@10"].mean == pytest.approx(
        np.nanmean(miscalibration(first, background.histories, members))
    )


def test_categories_stand_in_the_json_and_in_the_table(dataset: Dataset) -> None:
    found = evaluated(dataset, "genres")
    read = json.loads(found.to_json())["categories"]
    assert read["column"] == "genres"
    assert sorted(read["names"]) == ["A", "B", "C"]
    assert list(read["lists"]) == ["model", "popularity", "Markov + KNN"]
    for shares in (read["history"], *read["lists"].values()):
        assert sum(shares) == pytest.approx(1)
    text = StringIO()
    found.render(Console(file=text, width=80))
    rows = [line.split() for line in text.getvalue().splitlines()]
    header = next(row for row in rows if "diversity" in row)
    shown = dict(zip(header, rows[rows.index(header) + 2][1:], strict=True))
    for name in ("diversity", "miscalibration"):
        mean = found.systems["model"][f"{name}@10"].mean
        assert float(shown[name]) == pytest.approx(mean, abs=1e-4)

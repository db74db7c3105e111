from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eval.background import Background
from eval.measures import MEASURES, comparisons, metric_intervals
from eval.significance import FLIPS, Comparison
from eval.slices import FEWEST, SHARES, Slice, measure_slice, popularity_classes, slices
from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError
from tests.eval.conftest import ITEMS, Draw


def with_columns(dataset: Dataset) -> Dataset:
    columns = {
        "genres": pl.Series([["A", "B"], ["B"], []] * 8 + [None], dtype=pl.List(pl.String)),
        "year": pl.Series([1990, 2000, None, 2010, 2020] * 5),
        "price": pl.Series([None, *(np.arange(1, ITEMS) * 1.5)]),
        "raw": pl.Series([b"\xff"] * ITEMS),
    }
    frame = dataset.catalog.frame.with_columns(**columns)
    users = pl.DataFrame(
        {
            "user": dataset.users[1:],
            "city": ["Rome", "Oslo", None] * 13,
            "age": np.arange(1, len(dataset.users)),
        }
    )
    return Dataset(Catalog(frame), dataset.frame, dataset.manifest, users)


@pytest.fixture
def background(draw: Draw) -> Background:
    return Background.of(with_columns(draw(0)), Split.TEST)


def parts_of(background: Background, by: str, *columns: str) -> dict[str, npt.NDArray[np.bool_]]:
    return {part.value: part.rows for part in slices(background, columns) if part.by == by}


@given(arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 50)))
def test_classes_fall_with_popularity_and_hold_their_share(
    popularity: npt.NDArray[np.int64],
) -> None:
    classes = popularity_classes(popularity)
    assert ((classes == len(SHARES)) == (popularity == 0)).all()
    order = np.argsort(-popularity, kind="stable")
    assert (np.diff(classes[order]) >= 0).all()
    total = popularity.sum()
    for place, end in enumerate(SHARES.values()):
        for item in np.flatnonzero(classes == place):
            before = popularity[popularity > popularity[item]].sum() / total
            assert before < end
            assert place == 0 or before >= list(SHARES.values())[place - 1]


@pytest.mark.parametrize("by", ["target's popularity", "items of the history", "user", "year"])
def test_each_example_stands_in_one_slice(background: Background, by: str) -> None:
    parts = parts_of(background, by, "year")
    assert (np.sum(list(parts.values()), axis=0) == 1).all()
    assert all(rows.any() for rows in parts.values())


def test_an_example_counts_under_each_member_of_its_list(background: Background) -> None:
    parts = parts_of(background, "genres", "genres")
    kinds = background.dataset.catalog.frame["genres"].to_list()
    for row, example in enumerate(background.examples):
        found = {value for value, rows in parts.items() if rows[row]}
        assert found == set(kinds[example.target] or ["none"])
    assert set(parts) == {"A", "B", "none"}


def test_lengths_of_histories(background: Background) -> None:
    parts = parts_of(background, "items of the history")
    ranges = {"0": (0, 0), "1 to 5": (1, 5), "6 to 10": (6, 10), "11 to 20": (11, 20)}
    for value, rows in parts.items():
        low, high = ranges[value]
        for row in np.flatnonzero(rows):
            assert low <= len(background.examples[row].history) <= high
    assert len(parts) > 1


def test_cold_users_and_items_are_those_without_training(draw: Draw) -> None:
    whole = draw(3)
    users = whole.users
    warm = pl.col("user").is_in(users[:30])
    held = pl.col("split").is_in(["valid", "test"])
    frame = whole.frame.filter(warm | held)
    new = pl.when(pl.col("user") == users[0], pl.col("split") == "test").then(ITEMS - 1)
    others = pl.col("item").clip(upper_bound=ITEMS - 2)
    frame = frame.with_columns(item=new.otherwise(others).cast(pl.UInt32))
    background = Background.of(Dataset(whole.catalog, frame, whole.manifest), Split.TEST)
    cold = parts_of(background, "user")["cold"]
    assert [user for user, row in zip(background.users, cold, strict=True) if row] == users[30:]
    items = parts_of(background, "target's popularity")["cold"]
    assert items[background.users.index(users[0])]
    assert (items == (background.popularity[background.targets] == 0)).all()


def test_numbers_with_many_values_are_cut_into_quarters(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.slices.MOST_VALUES", 10)
    parts = parts_of(background, "price", "price")
    assert (background.targets[parts.pop("none")] == 0).all()
    assert len(parts) == 4
    prices = background.targets * 1.5
    spans = [(prices[rows].min(), prices[rows].max()) for rows in parts.values()]
    assert all(one[1] < other[0] for one, other in pairwise(spans))


@pytest.mark.parametrize(
    ("first", "step", "names"),
    [
        (1_700_000_000.0, 1.0, ["1700000006", "1700000012", "1700000018"]),
        (1.0, 2**-52, ["1.000000000000001", "1.000000000000003", "1.000000000000004"]),
    ],
)
def test_quarters_of_close_numbers_have_names_of_their_own(
    draw: Draw, monkeypatch: pytest.MonkeyPatch, first: float, step: float, names: list[str]
) -> None:
    monkeypatch.setattr("eval.slices.MOST_VALUES", 10)
    whole = draw(0)
    frame = whole.catalog.frame.with_columns(at=first + np.arange(ITEMS) * step)
    dataset = Dataset(Catalog(frame), whole.frame, whole.manifest)
    parts = parts_of(Background.of(dataset, Split.TEST), "at", "at")
    assert list(parts) == [*(f"up to {name}" for name in names), f"above {names[-1]}"]


def test_what_has_no_value_is_no_value_of_that_name(draw: Draw) -> None:
    whole = draw(0)
    kinds = pl.Series("kind", ["none", None, "(none)", None, "x"] * (ITEMS // 5))
    dataset = Dataset(Catalog(whole.catalog.frame.with_columns(kinds)), whole.frame, whole.manifest)
    background = Background.of(dataset, Split.TEST)
    parts = parts_of(background, "kind", "kind")
    assert list(parts) == ["(none)", "none", "x", "((none))"]
    assert (parts["((none))"] == np.isin(background.targets % 5, [1, 3])).all()
    assert (parts["none"] == (background.targets % 5 == 0)).all()


def test_columns_of_users_slice_by_whom_an_example_is_of(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.slices.MOST_VALUES", 10)
    places = np.array([background.dataset.users.index(user) for user in background.users])
    cities = parts_of(background, "user.city", "user.city")
    assert set(cities) == {"Oslo", "Rome", "none"}
    assert (cities["Rome"] == ((places > 0) & (places % 3 == 1))).all()
    assert cities["none"][places == 0].all()
    ages = parts_of(background, "user.age", "user.age")
    assert (places[ages.pop("none")] == 0).all()
    assert list(ages) == ["up to 10.5", "up to 20", "up to 29.5", "above 29.5"]
    assert (ages["up to 10.5"] == ((places >= 1) & (places <= 10))).all()


def test_columns_of_unknown_users_are_refused(draw: Draw) -> None:
    background = Background.of(draw(0), Split.TEST)
    with pytest.raises(ConfigError, match=r"column 'user.age': nothing is known .* as \[users\]"):
        slices(background, ["user.age"])


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ("genre", r"column 'genre': the catalog has item, title, genres"),
        ("title", r"column 'title': the examples have \d+ values; .* at most 10"),
        ("user.job", r"column 'user.job': the table of users has user, city, age"),
        ("raw", r"column 'raw': holds Binary, which has no text"),
    ],
)
def test_a_column_that_cannot_slice_is_refused(
    background: Background, column: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.slices.MOST_VALUES", 10)
    with pytest.raises(ConfigError, match=problem):
        slices(background, [column])


def test_a_slice_is_measured_as_its_examples_alone(background: Background) -> None:
    generator = np.random.default_rng(0)
    users = background.users
    shape = len(users), len(MEASURES)
    values = {
        name: pl.DataFrame(generator.random(shape), list(MEASURES)) for name in ("model", "other")
    }
    for part in slices(background, ["genres"]):
        found = measure_slice(part, values, "model", users, 4)
        owners = [user for user, row in zip(users, part.rows, strict=True) if row]
        assert (found.examples, found.users) == (part.rows.sum(), len(set(owners)))
        for name in values:
            assert found.systems[name] == metric_intervals(
                values[name].filter(part.rows), owners, 4
            )
        assert bool(found.differences) == (found.users >= FEWEST)
        if found.differences:
            inside = {name: each.filter(part.rows) for name, each in values.items()}
            assert found.differences == comparisons(inside, "model", owners, 4)


@pytest.mark.parametrize(("users", "judged"), [(FEWEST - 1, False), (FEWEST, True)])
def test_users_and_not_examples_are_counted_for_a_verdict(users: int, judged: bool) -> None:
    owners = [f"u{row % users}" for row in range(200)]
    values = {
        name: pl.DataFrame({"ndcg@10": [score] * 200}) for name, score in (("a", 1.0), ("b", 0.0))
    }
    found = measure_slice(Slice("by", "value", np.ones(200, bool)), values, "a", owners, 0)
    assert (found.examples, found.users, found.few) == (200, users, not judged)
    if judged:
        difference = found.differences["b"]["ndcg@10"]
        assert isinstance(difference, Comparison)
        assert difference.p == 1 / (FLIPS + 1)
    else:
        assert found.differences == {}

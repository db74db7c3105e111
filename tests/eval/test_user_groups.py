import math

import numpy as np
import polars as pl
import pytest

from eval.background import Background
from eval.slices import FEWEST, HISTORY, Slice
from eval.user_groups import largest_gap, user_groups
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError
from tests.toy import toy_dataset

USERS = [f"u{n}" for n in range(80) for _ in range(2)]


def halves(first: int) -> list[Slice]:
    rows = np.arange(len(USERS)) < 2 * first
    return [Slice("half", "a", rows), Slice("half", "b", ~rows)]


def test_a_gap_that_is_there_is_found() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=len(USERS))
    gap, chance, p = largest_gap(values, halves(40), USERS, 0)
    assert gap == pytest.approx(abs(values[:80].mean() - values[80:].mean()))
    assert 0 < chance < 0.5
    assert p > 0.05
    values[:80] += 2
    gap, _, p = largest_gap(values, halves(40), USERS, 0)
    assert gap == pytest.approx(values[:80].mean() - values[80:].mean())
    assert p == 1 / 1000
    assert largest_gap(values, halves(40), USERS, 0) == largest_gap(values, halves(40), USERS, 0)


def test_the_test_keeps_its_level() -> None:
    generator = np.random.default_rng(1)
    found = [largest_gap(generator.random(160), halves(30), USERS, seed)[2] for seed in range(20)]
    assert (
        sum(p <= 0.1 for p in found) <= 6
    )  # two are expected; more than six have a chance of .2 %


def test_examples_without_a_value_do_not_count() -> None:
    values = np.where(np.arange(len(USERS)) % 2, np.nan, np.arange(len(USERS), dtype=float))
    gap, _, _ = largest_gap(values, halves(40), USERS, 0)
    assert gap == pytest.approx(80)


def test_small_groups_have_no_gap() -> None:
    values = np.arange(len(USERS), dtype=float)
    assert all(map(math.isnan, largest_gap(values, halves(FEWEST - 1), USERS, 0)))
    assert largest_gap(values, halves(FEWEST), USERS, 0)[2] == 1 / 1000


def test_users_are_divided_by_history_and_by_their_own_columns() -> None:
    toy = toy_dataset()
    people = pl.DataFrame({"user": toy.users, "kind": ["ab"[n % 2] for n in range(24)]})
    background = Background.of(Dataset(toy.catalog, toy.frame, {"name": "t"}, people), Split.TEST)
    found = user_groups(background, ["user.kind"])
    assert [(part.by, part.value, part.rows.sum()) for part in found] == [
        (HISTORY, "6 to 10", 24), ("user.kind", "a", 12), ("user.kind", "b", 12),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"--by title: name a column of the users, as in user\."):
        user_groups(background, ["title"])
    with pytest.raises(ConfigError, match=r"column 'user\.age': the table of users has user, kind"):
        user_groups(background, ["user.age"])

"""The benchmark of batch jobs runs, and its market is what it says."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eval.benchmarks import batch
from eval.benchmarks.batch_runs import Watched, lost_and_repeated
from eval.benchmarks.synthetic import CODES, LONGEST, SHORTEST, Market
from rec_gen.recommender import Recommender
from tests.eval.test_benchmarks import figures


@pytest.mark.parametrize("items", [3, 500, 20_000])
def test_a_market_spells_every_item_and_draws_from_all_ranks(items: int) -> None:
    market = Market(items)
    assert len(market.catalog()) == items
    assert market.codes().shape == (items, 3)
    users = market.users(300)
    lengths = users["history"].list.len()
    assert lengths.is_between(SHORTEST, LONGEST).all()
    chosen = users["history"].explode()
    assert 0 <= chosen.min() <= chosen.max() < items  # type: ignore[operator]
    assert users.equals(Market(items).users(300))
    assert not users.equals(Market(items, seed=1).users(300))


def test_popularity_falls_by_a_power_law_and_users_stay_in_categories() -> None:
    market = Market(20_000)
    histories = market.users(2000)["history"]
    same = [np.diff(market.category[each.to_numpy()]) == 0 for each in histories]
    assert 0.68 < np.concatenate(same).mean() < 0.75
    chosen = histories.explode().to_numpy()
    counts = np.bincount(chosen[chosen < market.bounds[1]], minlength=64)
    assert counts[0] > 1.3 * counts[1] > 1.3 * counts[2:4].mean() > 2 * counts[8:16].mean()


def test_colliding_codes_are_told_apart() -> None:
    codes = Market(3_000_000).codes()
    assert codes.max() < CODES
    assert len(np.unique(codes, axis=0)) < len(codes)
    assert len(np.unique(Market(1_000_000).codes(), axis=0)) == 1_000_000
    spelled = Market(300).bundle()
    assert len({tuple(tokens) for tokens in spelled.spellings.tokens}) == 300
    assert spelled.manifest.score == "catalog"
    assert len(Recommender(spelled).recommend([["5"]], 4)[0]) == 4


def test_lost_and_repeated_users_are_counted(tmp_path: Path) -> None:
    users, output = tmp_path / "users.parquet", tmp_path / "out"
    output.mkdir()
    pl.DataFrame({"user": range(6)}).write_parquet(users)

    def write(name: str, who: list[int]) -> None:
        pl.DataFrame({"user": who, "rank": [1] * len(who)}).write_parquet(output / name)

    write("part-0.parquet", [0, 1, 2])
    write("part-1.parquet", [3, 4])
    pl.DataFrame({"user": [5]}).write_parquet(output / "failed-1.parquet")
    assert lost_and_repeated(users, output, 1) == (0, 0)
    write("part-1.parquet", [2, 3, 5])
    assert lost_and_repeated(users, output, 1) == (1, 2)


def test_growth_is_that_after_the_second_tenth() -> None:
    samples = [(0.05, 900), (0.1, 200), (0.15, 100), (0.6, 210), (0.95, 180)]
    assert Watched(1, 1, 1, samples).memory_growth() == pytest.approx(0.05)


@pytest.mark.slow
def test_a_job_is_measured_and_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(batch, "KILLS", 1)
    sizes = {"items": 500, "users": 96, "killed-users": 96, "part-rows": 16, "workers": 1}
    options = [part for name, size in sizes.items() for part in (f"--{name}", str(size))]
    found = figures(batch.main, tmp_path / "f.json", "--only", "job", *options)
    assert (found["users_lost"], found["users_repeated"]) == (0, 0)
    assert found["killed_parts_that_differ"] == 0
    assert found["kills"] > 0
    assert found["batch_over_prefill"] > 0
    assert found["tokens_read_a_user"] > 0

import json
from pathlib import Path

import numpy as np
import pytest

from eval.attack_profiles import (
    KINDS,
    SELECTED,
    Kind,
    fake_profiles,
    poison,
    popularity,
    tail_items,
)
from eval.attack_titles import DRESSES, PLANTS
from eval.benchmarks import attacks_instructions, attacks_profiles, attacks_titles
from eval.benchmarks.attacks import kept
from eval.benchmarks.attacks_profiles import Cell
from eval.benchmarks.attacks_report import tables
from eval.benchmarks.attacks_runs import exposure, rank_counted
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import RecGenError
from tests.crowd import crowd_dataset
from tests.toy import tiny_base


@pytest.mark.parametrize("kind", KINDS)
def test_profiles_are_what_their_kind_says(movielens: Dataset, kind: Kind) -> None:
    counts = popularity(movielens)
    targets = tail_items(movielens, 3, seed=0)
    assert (counts[targets] <= np.quantile(counts[counts > 0], 0.25)).all()
    profiles = fake_profiles(movielens, kind, 0.02, targets, seed=0)
    assert len(profiles) == round(0.02 * 943)
    top = set(np.argsort(-counts, kind="stable")[:SELECTED].tolist())
    for profile in profiles:
        chosen = profile.tolist()
        assert set(targets.tolist()) <= set(chosen)
        if kind == "alternating":
            assert set(chosen[1::2]) == set(targets.tolist())
            assert len(set(chosen[::2])) == len(chosen[::2])
        else:
            assert len(set(chosen)) == len(chosen)
        assert kind != "bandwagon" or top <= set(chosen)
    again = fake_profiles(movielens, kind, 0.02, targets, seed=0)
    assert all(map(np.array_equal, profiles, again))


def test_average_profiles_hold_more_popular_items_than_random_ones(movielens: Dataset) -> None:
    counts, targets = popularity(movielens), tail_items(movielens, 3, seed=0)
    random, average = (
        np.mean(counts[np.concatenate(fake_profiles(movielens, kind, 0.02, targets, seed=0))])
        for kind in ("random", "average")
    )
    assert average > 2 * random


def test_poison_is_learnt_and_no_held_out_example_changes(
    movielens: Dataset, tmp_path: Path
) -> None:
    targets = tail_items(movielens, 2, seed=0)
    profiles = fake_profiles(movielens, "random", 0.01, targets, seed=0)
    poison(movielens, profiles, seed=0).save(tmp_path)
    attacked = Dataset.load(tmp_path)
    learnt = {sequence.user: sequence.items for sequence in attacked.sequences()}
    for number, profile in enumerate(profiles):
        np.testing.assert_array_equal(learnt[f"~fake{number:05d}"], profile)
    assert len(learnt) == 943 + len(profiles)
    for split in (Split.VALID, Split.TEST):
        before, after = (list(data.examples(split)) for data in (movielens, attacked))
        assert [(e.user, e.target) for e in before] == [(e.user, e.target) for e in after]


@pytest.mark.slow
def test_the_part_of_profiles_runs_at_a_small_size(tmp_path: Path) -> None:
    crowd = crowd_dataset()
    cells = [Cell(), Cell("alternating", 0.1), Cell("alternating", 0.1, "screening")]
    found = attacks_profiles.run(crowd, tmp_path, 2, 0, 0.03, cells, cells[:1])
    assert found["detection"]["no attack, screening"]["suspects"] == 0
    assert found["detection"]["alternating 10%, screening"]["recall"] > 0.5
    counted = found["systems"]["Markov + KNN"]
    gain = counted["alternating 10%"]["change of exposure@10"]
    assert gain["mean"] > gain["low"] > 0
    assert counted["alternating 10%, screening"]["change of exposure@10"]["mean"] < gain["mean"]
    (row,) = found["systems"]["model"].values()
    assert row["NDCG@10"]["low"] <= row["NDCG@10"]["mean"] <= row["NDCG@10"]["high"]
    json.dumps(found)


def test_the_part_of_titles_measures_each_kind_by_itself(movielens: Dataset) -> None:
    targets = attacks_titles.targets_of(movielens, seed=0)
    assert len(np.unique(np.concatenate(list(targets.values())))) == 8 * len(DRESSES)
    arms = attacks_titles.catalogs(movielens, targets)
    honest, attacked, screened, _ = (np.array(catalog.titles) for catalog in arms.values())
    pushed = np.concatenate(list(targets.values()))
    assert set(np.flatnonzero(honest != attacked)) == set(pushed)
    assert (screened[targets["instruction"]] == honest[targets["instruction"]]).all()
    assert (screened[targets["misspelt"]] == attacked[targets["misspelt"]]).all()
    examples = list(movielens.examples(Split.TEST))
    lists = rank_counted(movielens, examples)
    found = dict.fromkeys(arms, attacks_titles.values(lists, targets))
    table = attacks_titles.rows(found, [example.user for example in examples], seed=0)
    row = table["stuffed"]["attacked"]
    assert row["exposure@10"]["mean"] == pytest.approx(
        exposure(lists, targets["stuffed"]).mean(), abs=1e-5
    )
    assert row["change of NDCG@10"]["mean"] == 0


@pytest.mark.slow
def test_the_part_of_instructions_runs_with_a_tiny_model(tmp_path: Path) -> None:
    found = attacks_instructions.run(crowd_dataset(), 2, 0, tiny_base(tmp_path))
    arms = found["arms"]
    assert set(arms) >= {"honest titles", *PLANTS, "Markov + KNN"}
    for kind in ("instruction", "chat turn"):
        change = arms[f"{kind}, screening"]["change of exposure@10"]
        assert (change["mean"], change["low"], change["high"]) == (0, 0, 0)


def test_a_part_that_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    file, about = tmp_path / "profiles.json", {"seed": 0}
    assert kept(file, about, lambda: {"found": 1}) == {"found": 1}
    assert kept(file, about, lambda: {"found": 2}) == {"found": 1}
    with pytest.raises(RecGenError, match="is of other data, steps or seed"):
        kept(file, {"seed": 1}, dict)


def test_every_row_stands_in_a_table_with_its_intervals() -> None:
    interval = {"mean": 0.1, "low": 0.05, "high": 0.2}
    levels = {"exposure@10": interval, "NDCG@10": interval}
    changes = {f"change of {name}": interval for name in levels}
    lines = list(tables({"titles": {"misspelt": {"honest": levels, "attacked": levels | changes}}}))
    assert lines[1] == "| misspelt titles | exposure@10 | change | NDCG@10 | change |"
    assert lines[3] == "| honest | 0.1000 [0.0500, 0.2000] |  | 0.1000 [0.0500, 0.2000] |  |"
    assert "| +0.1000 [+0.0500, +0.2000] |" in lines[4]

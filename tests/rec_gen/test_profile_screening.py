import numpy as np
import polars as pl
import pytest

from eval.attack_profiles import KINDS, Kind, fake_profiles, poison, tail_items
from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError
from rec_gen.profile_screening import find_suspects, unlearn
from tests.crowd import crowd_dataset


@pytest.fixture(scope="module")
def crowd() -> Dataset:
    return crowd_dataset()


def test_a_crowd_without_an_attack_has_no_suspects(crowd: Dataset) -> None:
    assert find_suspects(crowd) == {}


def test_users_who_all_chose_everything_are_not_told_apart(crowd: Dataset) -> None:
    items = pl.Series("item", [place for _ in range(30) for place in range(20)], pl.UInt32)
    users = pl.Series("user", [f"u{row // 20}" for row in range(600)])
    split = pl.Series("split", [Split.TRAIN.value] * 600, crowd.frame.schema["split"])
    times = pl.Series("time", [0] * 600, pl.Int64)
    frame = pl.DataFrame([users, items, times, split])
    same = Dataset(Catalog(crowd.catalog.frame[:20]), frame, crowd.manifest)
    assert find_suspects(same) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_fake_profiles_are_found_with_what_they_push(crowd: Dataset, kind: Kind) -> None:
    targets = tail_items(crowd, 2, seed=0)
    attacked = poison(crowd, fake_profiles(crowd, kind, 0.1, targets, seed=0), seed=0)
    suspects = find_suspects(attacked)
    found = [user for user in suspects if user.startswith("~fake")]
    assert len(found) >= 20
    # the popular items of a bandwagon look pushed too
    assert len(found) >= (0.4 if kind == "bandwagon" else 0.8) * len(suspects)
    pushed = {crowd.catalog.ids[target] for target in targets}
    assert all(pushed & set(suspects[user]) for user in found)


def test_suspects_are_not_learnt_from_and_still_evaluated(crowd: Dataset) -> None:
    kept = unlearn(crowd, ["u0003", "u0007"])
    learnt = {sequence.user for sequence in kept.sequences()}
    assert learnt == set(crowd.users) - {"u0003", "u0007"}
    for split in (Split.VALID, Split.TEST):
        before, after = list(crowd.examples(split)), list(kept.examples(split))
        assert [example.user for example in after] == [example.user for example in before]
        for one, other in zip(before, after, strict=True):
            assert one.target == other.target
            np.testing.assert_array_equal(one.history, other.history)
    assert unlearn(crowd, []).fingerprint == crowd.fingerprint
    assert kept.fingerprint != crowd.fingerprint


def test_a_handful_of_users_is_no_crowd(crowd: Dataset) -> None:
    few = Dataset(crowd.catalog, crowd.frame.filter(pl.col("user") < "u0003"), crowd.manifest)
    assert find_suspects(few) == {}


@pytest.mark.parametrize(("share", "level", "name"), [(0, 0.1, "share"), (0.2, 2, "level")])
def test_options_out_of_range_are_named(
    crowd: Dataset, share: float, level: float, name: str
) -> None:
    with pytest.raises(ConfigError, match=f"{name}: .* is not above 0"):
        find_suspects(crowd, share, level)

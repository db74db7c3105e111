from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from eval.benchmarks.privacy import ADAPTER, BASE, measure, print_rows
from eval.benchmarks.privacy_data import Scene, draw_canaries, set_scene
from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset, Split
from rec_gen.privacy import Privacy
from rec_gen.testing import random_bundle
from tests.toy import ITEMS, rated, toy_dataset


@pytest.fixture(scope="module")
def scene() -> Scene:
    private = rated(toy_dataset(users=40))
    reversed_items = private.catalog.frame.reverse()
    items = reversed_items.with_columns(item=pl.Series([f"p{row}" for row in range(ITEMS)]))
    public = Dataset(Catalog(items), rated(toy_dataset(users=10, seed=1)).frame, {"name": "other"})
    return set_scene(private, public, 12, draw_canaries(ITEMS, 6, {1: 3, 2: 2}, seed=0), seed=0)


def test_holds_users_out_and_adds_canaries_that_are_only_learnt(scene: Scene) -> None:
    members = {sequence.user for sequence in scene.members}
    assert len(members) == 28
    assert len(scene.others) == 12
    assert members.isdisjoint(sequence.user for sequence in scene.others)
    trained = {sequence.user: sequence.items for sequence in scene.private.sequences()}
    made = [items for user, items in trained.items() if user.startswith("canary")]
    assert len(trained) - len(members) == len(made) == 3 + 2 * 2
    for canary in scene.canaries:
        assert sum(np.array_equal(items, canary.items) for items in made) == canary.copies
    assert {example.user for example in scene.private.examples(Split.TEST)} == members


def test_public_items_are_found_by_title_and_their_last_two_held_out(scene: Scene) -> None:
    assert scene.public.catalog.fingerprint == scene.private.catalog.fingerprint
    theirs = toy_dataset(users=10, seed=1)
    user = theirs.users[0]
    assert scene.public.history(user).tolist() == (ITEMS - 1 - theirs.history(user)).tolist()
    splits = scene.public.frame.filter(pl.col("user") == user)["split"].to_list()
    assert splits == ["train"] * 7 + ["valid", "test"]


def test_measures_and_prints_all_systems(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    base, noisy = (random_bundle(scene.private.catalog, "item", seed) for seed in (0, 1))
    privacy = Privacy(
        epsilon=2.5, delta=1e-2, users=28, sample_rate=0.5, noise_multiplier=1.0,
        clip_norm=1.0, steps=5, accountant="prv",
    )  # fmt: skip
    noisy = replace(noisy, manifest=noisy.manifest.model_copy(update={"privacy": privacy}))
    rows, less = measure({BASE: base, ADAPTER: noisy}, scene)
    assert list(rows) == ["Markov + KNN", BASE, ADAPTER]
    assert set(less) == {"Markov + KNN", BASE}
    calibrated = rows[BASE].attacks
    assert calibrated is not None
    assert calibrated["calibrated loss"]["auc"].mean == 0.5  # it is its own reference
    assert rows["Markov + KNN"].exposure is None
    found = rows[ADAPTER].exposure
    assert found is not None
    assert list(found) == [1, 2]
    print_rows(rows)
    printed = capsys.readouterr().out
    assert "2.50" in printed
    assert "exposure x2" in printed

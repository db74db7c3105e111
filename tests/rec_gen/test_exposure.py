from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from rec_gen.bundle import Bundle
from rec_gen.catalog import Item
from rec_gen.counts import training_popularity
from rec_gen.errors import BundleError, DecodingError
from rec_gen.exposure import rarity
from rec_gen.prior import Prior
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from tests.toy import ITEMS, toy_dataset

DATASET = toy_dataset(users=7)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return replace(random_bundle(DATASET.catalog, "title"), prior=Prior.fit(DATASET, 0.1))


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=30), st.integers(0, 5))
def test_rarity_is_that_of_a_distribution_and_falls_with_popularity(
    counts: list[int], more: int
) -> None:
    found = rarity(np.array(counts), len(counts) + more)
    assert np.exp(-found).sum() == pytest.approx(1)
    order = np.argsort([*counts, *[0] * more])
    assert (np.diff(found[order]) <= 0).all()


@pytest.mark.parametrize("exact", [False, True])
def test_the_search_adds_the_weighted_rarity(bundle: Bundle, exact: bool) -> None:
    recommender = Recommender(bundle)
    options: dict[str, Any] = {"k": ITEMS, "exclude_seen": False, "exact": exact}
    histories = [["i1", "i2"], []]
    plain = recommender.recommend(histories, **options)
    raised = 0.7 * rarity(training_popularity(DATASET), ITEMS)
    found = recommender.recommend(histories, **options, exposure=0.7)
    for before, after in zip(plain, found, strict=True):
        expected = {r.item.id: r.score + raised[int(r.item.id[1:])] for r in before}
        assert {r.item.id: r.score for r in after} == pytest.approx(expected, abs=1e-5)
    joined = recommender.recommend(
        histories, **options, exposure=0.7, prior_weight=0.5, item_scores={"i3": 50.0}
    )
    assert [answer[0].item.id for answer in joined] == ["i3", "i3"]


def test_without_strength_nothing_changes(bundle: Bundle) -> None:
    recommender = Recommender(bundle)
    assert recommender.recommend([["i1"]], exposure=0) == recommender.recommend([["i1"]])


def test_an_item_that_came_later_is_as_rare_as_can_be(bundle: Bundle) -> None:
    recommender = Recommender(bundle)
    recommender.put_items([Item("new", "A new one", {})])
    (plain,), (found,) = (
        recommender.recommend([["i1"]], k=ITEMS, exposure=exposure) for exposure in (0.0, 2.0)
    )
    scores = [{r.item.id: r.score for r in answer} for answer in (plain, found)]
    rises = {item: scores[1][item] - scores[0][item] for item in scores[0]}
    assert max(rises.values()) == pytest.approx(rises["new"])
    assert rises["new"] == pytest.approx(2 * rarity(training_popularity(DATASET), ITEMS + 1)[-1])


@pytest.mark.parametrize("exposure", [-0.1, 100.1, float("nan"), float("inf")])
def test_refuses_a_strength_without_meaning(bundle: Bundle, exposure: float) -> None:
    with pytest.raises(DecodingError, match=r"exposure is .*: give a number from 0 to 100"):
        Recommender(bundle).recommend([["i1"]], exposure=exposure)


def test_a_bundle_without_counts_says_so(bundle: Bundle) -> None:
    assert bundle.prior is not None
    older = Prior(bundle.prior.counts, 0.1)
    for prior in (None, older):
        recommender = Recommender(replace(bundle, prior=prior))
        with pytest.raises(BundleError, match=r"'random' holds no counts of its items: train it"):
            recommender.recommend([["i1"]], exposure=0.5)


def test_a_file_keeps_the_counts_and_an_older_one_loads_without(
    bundle: Bundle, tmp_path: Path
) -> None:
    prior, file = bundle.prior, tmp_path / "p"
    assert prior is not None
    prior.save(file)
    again = Prior.load(file, ITEMS).popularity
    assert again is not None
    assert again.tolist() == training_popularity(DATASET).tolist()
    tensors = load_file(file)
    settings = '{"weight": 0.2, "neighbours": 50, "decay": 0.8, "smoothing": 0.1}'
    metadata = {"format": "rec_gen-prior-1", "settings": settings}
    counts = tensors.pop("popularity")
    save_file(tensors, file, metadata)
    assert Prior.load(file, ITEMS).popularity is None
    for wrong in (counts[:-1], -1 - counts, counts.astype(np.float64)):
        save_file({**tensors, "popularity": np.ascontiguousarray(wrong)}, file, metadata)
        with pytest.raises(BundleError, match="popularity holds no count of each of 12 items"):
            Prior.load(file, ITEMS)

"""Items that come after training: who finds them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eval.background import Background
from eval.benchmarks import cold
from eval.benchmarks.cold import MEASURES, measure, print_figures, random_codes
from eval.cold_items import ColdWorld
from eval.content import ContentSimilarity
from eval.lists import RankedLists
from eval.measures import metric_values
from eval.result_json import to_json
from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset, Split
from rec_gen.item_encoder import ItemEncoder
from rec_gen.metrics import Ranks
from rec_gen.recommender import Recommender
from rec_gen.semantic_ids import ItemVectorConfig
from rec_gen.testing import random_bundle
from tests.toy import ITEMS, toy_dataset


def ring() -> Dataset:
    """The toy ring, where a column says where an item stands."""
    dataset = toy_dataset(users=60)
    angles = 2 * np.pi * np.arange(ITEMS) / ITEMS
    places = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    place = pl.Series("place", places.tolist())
    catalog = Catalog(dataset.catalog.frame.with_columns(place))
    return Dataset(catalog, dataset.frame, dataset.manifest)


def test_nothing_of_a_cold_item_is_in_training() -> None:
    dataset = ring()
    world = ColdWorld.of(dataset, seed=3, share=0.3)
    new = {item.id for item in world.items}
    assert 0 < len(new) < ITEMS
    assert new.isdisjoint(world.warm.catalog.ids)
    assert world.whole.catalog.ids[: len(world.warm.catalog)] == world.warm.catalog.ids
    assert set(world.whole.catalog.ids) == set(dataset.catalog.ids)
    named = {world.whole.catalog.ids[item] for item in world.whole.frame["item"]}
    assert new.isdisjoint(named)
    old = [
        example for example in dataset.examples(Split.TEST)
        if dataset.catalog.ids[example.target] in new
    ]  # fmt: skip
    examples = world.examples(Split.TEST)
    assert [example.user for example in examples] == [example.user for example in old]
    for example, before in zip(examples, old, strict=True):
        assert world.whole.catalog.ids[example.target] == dataset.catalog.ids[before.target]
        kept = [dataset.catalog.ids[item] for item in before.history]
        read = [world.whole.catalog.ids[item] for item in example.history]
        assert read == [item for item in kept if item not in new]


def test_the_draw_hangs_on_ids_alone() -> None:
    frame = ring().catalog.frame
    mixed = Dataset(Catalog(frame.reverse()), ring().frame, {"name": "toy"})
    drawn = [{item.id for item in ColdWorld.of(each, 3, 0.3).items} for each in (ring(), mixed)]
    assert drawn[0] == drawn[1]


def test_content_finds_what_is_like_the_last_items() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0, 0]], np.float32)
    scores = (
        ContentSimilarity(recent=1)
        .over(vectors)
        .score([np.array([2, 0], np.int32), np.array([], np.int32)])
    )
    assert scores[0].argsort()[::-1].tolist()[:2] == [0, 1]
    assert scores[0, 2:].tolist() == [0, 0]
    assert not scores[1].any()


def test_cold_recall_counts_items_without_training_interactions_alone() -> None:
    world = ColdWorld.of(ring(), seed=3, share=0.3)
    # the cold items are held out, and nobody chose them in training
    background = Background.of(world.whole, Split.TEST)
    assert "cold_recall@10" not in metric_values(some_lists(len(background.examples)), background)
    examples = [*background.examples[:2], *world.examples(Split.TEST)[:2]]
    mixed = replace(background, examples=examples)
    places = np.array([0, np.inf, 3, np.inf])
    lists = replace(some_lists(4), ranks=Ranks.of_places(places))
    found = metric_values(lists, mixed)["cold_recall@10"].to_list()
    assert np.isnan(found[:2]).all()
    assert found[2:] == [1, 0]


def some_lists(examples: int) -> RankedLists:
    return RankedLists.empty(examples, 20)


@pytest.fixture
def small(tmp_path: Path) -> tuple[ColdWorld, Path]:
    """A world, and the bundle of a random model of its warm items."""
    world = ColdWorld.of(ring(), seed=3, share=0.3)
    config = ItemVectorConfig(sources=("vectors:place", "cooccurrence"))
    histories = [sequence.items for sequence in world.warm.sequences()]
    encoder, codes = ItemEncoder.fit(world.warm.catalog, histories, config, 2, 4, 0)
    bundle = random_bundle(world.warm.catalog, "semantic", codes=codes)
    replace(bundle, encoder=encoder).save(tmp_path / "bundle")
    return world, tmp_path / "bundle"


def test_random_codes_are_free_and_known(small: tuple[ColdWorld, Path]) -> None:
    world, bundle = small
    recommender = Recommender.load(bundle)
    codes = random_codes(recommender, [item.id for item in world.items], seed=0)
    recommender.put_items(world.items, codes=codes)
    spelled = recommender._index.spellings.texts
    assert len(set(spelled)) == ITEMS
    assert spelled[: len(world.warm.catalog)] == recommender.bundle.spellings.texts


def test_the_benchmark_measures_all_systems(
    small: tuple[ColdWorld, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    world, bundle = small
    found = measure(world, {"place": bundle}, ["title"], seed=0)
    rows = json.loads(to_json(found))["systems"]
    assert list(rows) == [
        "popularity", "Markov + KNN", "content", "nearest codes, place", "random codes",
    ]  # fmt: skip
    new = found["new items"]
    assert rows["popularity"]["recall@10 of new"]["mean"] == pytest.approx(min(1, 10 / new))
    for row in rows.values():
        assert list(row) == list(MEASURES)
        for each in row.values():
            assert each["low"] - 1e-9 <= each["mean"] <= each["high"] + 1e-9
    print_figures(found)
    assert "nearest codes, place" in capsys.readouterr().out
    assert set(cold.SOURCES) == {"text+cooccurrence", "text"}

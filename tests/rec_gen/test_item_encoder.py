"""New items of a semantic bundle get their codes from what is known of them."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gen.bundle import ENCODER, Bundle
from rec_gen.catalog import Catalog, Item
from rec_gen.errors import BundleError, DataError, SpellingError
from rec_gen.item_encoder import ItemEncoder
from rec_gen.recommender import Recommender
from rec_gen.remote import RemoteRecommender, answer_call
from rec_gen.semantic_ids import ItemVectorConfig
from rec_gen.testing import random_bundle

COLUMN = ItemVectorConfig(sources=("vectors:look",))
ITEMS = 60


def catalog_of(items: int, seed: int) -> Catalog:
    looks = np.random.default_rng(seed).normal(size=(items, 5)).astype(np.float32)
    titles = [f"Film {place % 7} of {place}" for place in range(items)]
    columns = {"item": [f"i{place}" for place in range(items)], "title": titles, "look": looks}
    return Catalog(pl.DataFrame(columns).with_columns(pl.col("look").arr.to_list()))


def bundle_of(
    config: ItemVectorConfig = COLUMN, codes: int = 4, levels: int = 2, *, balanced: bool = True
) -> Bundle:
    catalog = catalog_of(ITEMS, 0)
    histories = [np.array([place, place + 1, place + 2], np.int32) for place in range(ITEMS - 2)]
    encoder, found = ItemEncoder.fit(
        catalog, histories, config, levels, codes, 0, balanced=balanced
    )
    return replace(random_bundle(catalog, "semantic", codes=found), encoder=encoder)


def test_the_items_of_training_are_given_their_own_codes_by_plain_clusters() -> None:
    catalog = catalog_of(ITEMS, 0)
    encoder, codes = ItemEncoder.fit(catalog, [], COLUMN, 3, 8, 0, balanced=False)
    usable = np.ones((3, 8), bool)
    for row, codes_of_item in zip(zip(*encoder.encode(catalog), strict=True), codes, strict=True):
        found = list(encoder.nearest(*row, usable))
        assert found[0] == tuple(codes_of_item)
        assert len(set(found)) == len(found) == 8**3


def test_a_source_that_is_silent_moves_nothing() -> None:
    """Of an item without interactions the nearest clusters are those of its text alone."""
    both = ItemVectorConfig(sources=("cooccurrence", "vectors:look"))
    encoder = bundle_of(both).encoder
    assert encoder is not None
    catalog = catalog_of(9, 7)
    vectors, known = encoder.encode(catalog)
    assert known.sum(axis=1).tolist() == [5] * 9
    alone = replace(encoder, config=COLUMN, widths=(5,), centers=encoder.centers[:, :, -5:])
    usable = np.ones((2, 4), bool)
    assert not vectors[:, :-5].any()
    for row, flags, look in zip(vectors, known, vectors[:, -5:], strict=True):
        mine, theirs = encoder.nearest(row, flags, usable), alone.nearest(look, flags[-5:], usable)
        assert list(mine) == list(theirs)


def test_a_code_without_a_token_is_never_chosen() -> None:
    encoder = bundle_of().encoder
    assert encoder is not None
    usable = np.array([[True, False, True, True], [True, True, False, True]])
    vectors, known = encoder.encode(catalog_of(20, 3))
    for vector, flags in zip(vectors, known, strict=True):
        found = list(encoder.nearest(vector, flags, usable))
        assert len(found) == 9
        assert all(first != 1 and second != 2 for first, second in found)


@settings(deadline=None, max_examples=10)
@given(count=st.integers(1, 30), seed=st.integers(0, 50))
def test_new_items_are_spelled_apart_with_the_tokens_there_are(count: int, seed: int) -> None:
    recommender = Recommender(bundle_of(codes=8, levels=3))
    vocabulary = len(recommender.bundle.tokenizer)
    looks = np.random.default_rng(seed).normal(size=(count, 5))
    looks[count // 2 :] = looks[0]  # many that are alike want the same codes
    put = [Item(f"n{place}", "New", {"look": look.tolist()}) for place, look in enumerate(looks)]
    recommender.put_items(put)
    spelled = {tuple(tokens.tolist()) for tokens in recommender._index.spellings.tokens}
    assert len(spelled) == ITEMS + count
    assert len(recommender.bundle.tokenizer) == vocabulary
    (answer,) = recommender.recommend([["i0"]], k=ITEMS + count)
    assert len(answer) == ITEMS + count - 1


def test_a_new_item_is_near_its_like_and_can_be_read() -> None:
    recommender = Recommender(bundle_of(codes=8, balanced=False))
    like = recommender.catalog[5].fields["look"]
    recommender.put_items([Item("n", "New", {"look": like})])
    spelled = recommender._index.spellings.texts
    assert spelled[-1].startswith(spelled[5].partition(">")[0])
    (answer,) = recommender.recommend([["n", "i5"]], k=3)
    assert len(answer) == 3
    before = spelled[-1]
    recommender.put_items([Item("n", "Renamed", {"look": None})])
    assert recommender._index.spellings.texts[-1] == before


def test_codes_that_are_given_stay() -> None:
    recommender = Recommender(bundle_of(codes=8))
    look = recommender.catalog[0].fields["look"]
    free = next(
        (a, b) for a in range(8) for b in range(8)
        if not any(f"<a_{a}><b_{b}>" in text for text in recommender._index.spellings.texts)
    )  # fmt: skip
    items = [Item("n", "New", {"look": look}), Item("m", "More", {"look": look})]
    assert recommender.codes_for(items, {"n": free})["n"] == free
    recommender.put_items(items, codes={"n": free})
    assert recommender._index.spellings.texts[-2] == "<a_{}><b_{}>".format(*free)


def test_the_other_process_is_told_the_codes() -> None:
    bundle = bundle_of(codes=8)
    there = Recommender(replace(bundle, encoder=None))
    here = RemoteRecommender(bundle, partial(answer_call, {"films": there}))
    here.put_items([Item("n", "New", {"look": [0.5] * 5})])
    assert there._index.spellings.texts == here._index.spellings.texts


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        (Item("n", "New", {}), SpellingError, "item 'n' is new, and nothing is known of it in vec"),
        (Item("n", "New", {"look": [1.0]}), SpellingError, "gives 1 numbers, and gave 5"),
        (Item("n", "New", {"look": [float("nan")] * 5}), DataError, "'n': column 'look' needs 5"),
    ],
)
def test_what_cannot_be_encoded_is_refused(
    item: Item, error: type[Exception], message: str
) -> None:
    recommender = Recommender(bundle_of())
    with pytest.raises(error, match=message):
        recommender.put_items([item])
    assert recommender.version == 0


def test_what_is_no_item_is_told_as_ever() -> None:
    with pytest.raises(DataError, match="'n' stands where an Item belongs"):
        Recommender(bundle_of()).put_items(cast("list[Item]", ["n"]))


def test_a_crowd_without_spellings_is_refused() -> None:
    recommender = Recommender(bundle_of(codes=2, levels=1))
    put = [Item(f"n{place}", "New", {"look": [0.1] * 5}) for place in range(99)]
    with pytest.raises(SpellingError, match=r"item 'n\d': the model has no spelling left"):
        recommender.put_items(put)


def test_an_encoder_is_kept_with_its_bundle(tmp_path: Path) -> None:
    config = ItemVectorConfig(
        sources=("words", "vectors:look"), weights={"words": 2.0}, encoders={"look": "none"}
    )
    bundle = bundle_of(config)
    bundle.save(tmp_path / "bundle")
    loaded = Bundle.load(tmp_path / "bundle")
    assert loaded.encoder is not None
    assert loaded.encoder.config == config
    new = catalog_of(9, 5)
    for mine, theirs in zip(
        bundle.encoder.encode(new) if bundle.encoder else (), loaded.encoder.encode(new),
        strict=True,
    ):  # fmt: skip
        assert (mine == theirs).all()
    replace(bundle, encoder=None).save(tmp_path / "old")
    assert Bundle.load(tmp_path / "old").encoder is None
    (tmp_path / "bundle" / ENCODER).write_bytes(b"x")
    with pytest.raises(BundleError, match=r"item_encoder\.safetensors was changed"):
        Bundle.load(tmp_path / "bundle")
    with pytest.raises(BundleError, match="cannot be read as an item encoder"):
        ItemEncoder.load(tmp_path / "bundle" / ENCODER)

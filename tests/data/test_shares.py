"""Learning from a share of the users only."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.config import parse_config
from rec_gen.data.config import DataConfig
from rec_gen.data.dataset import Dataset, Split
from rec_gen.data.prepare import load_dataset, prepare
from rec_gen.data.shares import learn_share
from tests.data.shop import shop
from tests.toy import toy_dataset

USERS = 24
TOY = toy_dataset(USERS)


def learnt(dataset: Dataset) -> set[str]:
    return {sequence.user for sequence in dataset.sequences()}


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 3))
def test_a_share_is_part_of_every_larger_one(one: float, other: float, seed: int) -> None:
    small, large = sorted((one, other))
    few, many = (learn_share(TOY, share, seed) for share in (small, large))
    assert learnt(few) <= learnt(many)
    assert len(learnt(few)) == (round(small * USERS) or (small > 0))
    for part in (few, many):
        assert part.frame.drop("split").equals(TOY.frame.drop("split"))
        for split in (Split.VALID, Split.TEST):
            for mine, whole in zip(part.examples(split), TOY.examples(split), strict=True):
                assert mine.history.tolist() == whole.history.tolist()
                assert mine.target == whole.target


def test_no_share_is_told_apart_from_the_whole() -> None:
    assert learn_share(TOY, 1, 0) is TOY
    prints = {learn_share(TOY, share, 0).fingerprint for share in (0, 0.5, 1)}
    assert len(prints) == 3


def test_the_cache_keeps_the_whole(tmp_path: Path) -> None:
    config = shop(tmp_path)
    part = parse_config(DataConfig, {**config.model_dump(exclude_unset=True), "share": 0.5})
    half = load_dataset(part)
    assert len(learnt(half)) == 1
    assert half.manifest["share"] == 0.5
    assert half.manifest["counts"]["context"] == half.manifest["counts"]["train"] == 1
    assert len(learnt(load_dataset(config))) == 2
    assert prepare(part, tmp_path / "out").fingerprint == half.fingerprint
    with pytest.raises(Exception, match="less than or equal to 1"):
        parse_config(DataConfig, {"source": "movielens-100k", "share": 1.5})

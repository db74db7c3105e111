"""What the splits promise, for any input."""

import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gen.data.config import SplitConfig
from rec_gen.data.dataset import Dataset, Split
from rec_gen.data.prepare import prepare
from rec_gen.data.splits import order, split
from tests.data.shop import shop

ITEM_IDS = ["a", "b", "c"]
Row = tuple[str, str, int]

rows = st.lists(
    st.tuples(st.sampled_from("uvwx"), st.sampled_from(ITEM_IDS), st.integers(0, 5)),
    min_size=12,
    max_size=60,
)


def dataset(interactions: list[Row], **settings: Any) -> Dataset:
    with tempfile.TemporaryDirectory() as name:
        lines = [",".join(map(str, row)) for row in [("user", "item", "time"), *interactions]]
        config = shop(Path(name), "\n".join(lines) + "\n", **settings)
        return prepare(config, Path(name) / "out")


def padded(interactions: list[Row]) -> list[Row]:
    """With one user who is long enough for any split."""
    return [*interactions, *[("z", "a", time) for time in range(10)]]


@settings(max_examples=60, deadline=None)
@given(rows)
def test_leave_one_out_never_trains_on_what_comes_after(interactions: list[Row]) -> None:
    frame = dataset(padded(interactions)).frame
    for _, history in frame.group_by("user", maintain_order=True):
        assert history["split"].to_list() == ["train"] * (len(history) - 2) + ["valid", "test"]
        assert history["time"].is_sorted()


@settings(max_examples=60, deadline=None)
@given(rows)
def test_global_time_never_trains_after_a_cut(interactions: list[Row]) -> None:
    cuts = {
        "valid_from": datetime.fromtimestamp(4, UTC),
        "test_from": datetime.fromtimestamp(7, UTC),
    }
    frame = dataset(padded(interactions), split={"kind": "global-time", **cuts}).frame
    expected = ["train" if t < 4 else "valid" if t < 7 else "test" for t in frame["time"]]
    assert frame["split"].to_list() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=30, max_size=200, unique=True))
def test_shares_become_cuts(times: list[int]) -> None:
    frame = pl.DataFrame({"user": [0] * len(times), "time": sorted(times)})
    codes, _ = split(frame, SplitConfig(kind="global-time", valid=0.2, test=0.1), "data")
    sizes = np.bincount(codes, minlength=4)
    assert sizes[3] == round(0.1 * len(times))
    assert sizes[2] + sizes[3] == round((0.2 + 0.1) * len(times))
    assert sorted(codes) == codes.tolist()


@settings(max_examples=60, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_order_of_the_file_does_not_matter(interactions: list[Row], chance: random.Random) -> None:
    interactions = padded(interactions)
    shuffled = chance.sample(interactions, len(interactions))
    assert dataset(interactions).fingerprint == dataset(shuffled).fingerprint


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["u", "v", "w", ""]),
            st.sampled_from(["a", "b", "c", "x", ""]),
            st.sampled_from(["1", "2", "3.5", "2024-01-01", "soon", ""]),
        ),
        max_size=40,
    )
)
def test_every_row_is_accounted_for(interactions: list[Any]) -> None:
    manifest = dataset([*interactions, *padded([])], bad_rows="skip").manifest
    left_out = sum(manifest["left_out"].get("interactions", {}).values())
    assert manifest["counts"]["interactions"] + left_out == len(interactions) + 10


def test_ties_are_drawn_anew_for_each_user_and_seed() -> None:
    users, items = [f"u{n}" for n in range(300)], ITEM_IDS
    tied = {"user": np.repeat(np.arange(300), 3), "item": list(range(3)) * 300, "time": 0}
    frame = pl.DataFrame(tied, schema_overrides={"user": pl.UInt32, "item": pl.UInt32})
    orders = [
        order(frame, users, items, seed)["item"].to_numpy().reshape(300, 3) for seed in (0, 1)
    ]
    for drawn in orders:
        counts = np.unique(drawn, axis=0, return_counts=True)[1]
        assert len(counts) == 6
        assert counts.min() > 30
    assert (orders[0][:, 2] == orders[1][:, 2]).mean() < 0.5


def test_ties_are_the_same_on_every_machine() -> None:
    tied = pl.DataFrame({"user": [0] * 8, "item": range(8), "time": [0] * 8})
    drawn = order(tied, ["u"], list("abcdefgh"), seed=0)["item"].to_list()
    assert drawn == [3, 5, 6, 7, 2, 4, 0, 1]


def test_fractions_of_a_second_count() -> None:
    times = ["2024-01-01T00:00:00.3", "2024-01-01T00:00:00.1", "2024-01-01T00:00:00.2"]
    history = dataset([("u", i, t) for i, t in zip("abc", times, strict=True)])  # type: ignore[misc]
    assert history.history("u").tolist() == [1, 2, 0]


def test_repeated_interactions_stay() -> None:
    assert dataset([("u", "a", 1)] * 4).manifest["counts"]["interactions"] == 4


def test_given_files(tmp_path: Path) -> None:
    for name, row in (("valid", "u,b,2"), ("test", "u,c,3")):
        (tmp_path / f"{name}.csv").write_text(f"user,item,time\n{row}\n")
    paths = {f"{name}_path": tmp_path / f"{name}.csv" for name in ("valid", "test")}
    config = shop(tmp_path, "user,item,time\nu,a,1\n", split={"kind": "given", **paths})
    prepared = prepare(config, tmp_path / "out")
    assert prepared.frame["split"].to_list() == ["train", "valid", "test"]
    assert [e.history.tolist() for e in prepared.examples(Split.TEST)] == [[0, 1]]


def test_ties_keep_the_given_split(tmp_path: Path) -> None:
    sales = "user,item,time,part\n" + "".join(
        f"u{n},{item},1,{part}\n"
        for n in range(20)
        for item, part in [("a", "test"), ("b", "valid"), ("c", "train")]
    )
    config = shop(tmp_path, sales, split={"kind": "given", "column": "part"})
    splits = prepare(config, tmp_path / "out").frame["split"].to_list()
    assert splits == ["train", "valid", "test"] * 20

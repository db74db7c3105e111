"""Data sets for the benchmark of privacy: public ones, members, and users that were made up."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.config import parse_config
from rec_gen.data.config import DataConfig
from rec_gen.data.dataset import Dataset, Sequence, Split
from rec_gen.data.prepare import load_dataset

SHORTEST = 3
"""Interactions of a public user at least, so that one is left beside the two held-out ones."""


@dataclass(frozen=True)
class Canary:
    """A user whose items were drawn at random, so that only memory can tell them.

    Attributes:
        items: int32 [n], catalog positions, all different.
        copies: How many users of the training data have them.
    """

    items: npt.NDArray[np.int32]
    copies: int


@dataclass(frozen=True)
class Scene:
    """What is trained on, and what was held out of it.

    Attributes:
        public: Other people's interactions with the same catalog.
        private: The members with their splits, and the canaries.
        members: The members' training sequences.
        others: As much of users that no training read.
        canaries: What was made up.
    """

    public: Dataset
    private: Dataset
    members: list[Sequence]
    others: list[Sequence]
    canaries: list[Canary]


def load(source: str) -> Dataset:
    """A named source, prepared by default."""
    return load_dataset(parse_config(DataConfig, {"source": source}))


def set_scene(
    private: Dataset, public: Dataset, held_out: int, canaries: list[Canary], seed: int
) -> Scene:
    """Hold users out of the private data, add canaries, and fit public data to its catalog.

    Args:
        private: Whose users are to be protected.
        public: Other people's interactions, joined by title.
        held_out: Users that no training may read.
        canaries: What to make up.
        seed: Draws who is held out.
    """
    drawn = np.random.default_rng(seed).permutation(len(private.users))[:held_out]
    outside = {private.users[row] for row in drawn.tolist()}
    trained = list(private.sequences())
    inside = private.frame.filter(~pl.col("user").is_in(outside))
    made = [_rows(canary, number, inside) for number, canary in enumerate(canaries)]
    return Scene(
        _fit(public, private),
        _dataset("private", private, pl.concat([inside, *made])),
        [sequence for sequence in trained if sequence.user not in outside],
        [sequence for sequence in trained if sequence.user in outside],
        canaries,
    )


def draw_canaries(items: int, length: int, copies: dict[int, int], seed: int) -> list[Canary]:
    """Draw canaries.

    Args:
        items: The catalog's.
        length: Items of a canary.
        copies: By the number of copies, how many canaries.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    return [
        Canary(rng.choice(items, length, replace=False).astype(np.int32), times)
        for times, count in copies.items()
        for _ in range(count)
    ]


def _fit(public: Dataset, private: Dataset) -> Dataset:
    """Public interactions with the private catalog's items, found by title, the last two held."""
    ours = pl.DataFrame({"title": private.catalog.titles}).with_row_index("ours").unique("title")
    theirs = pl.DataFrame({"title": public.catalog.titles}).with_row_index("item").unique("title")
    both = theirs.join(ours, on="title").select("item", pl.col("ours").cast(pl.UInt32))
    frame = public.frame.join(both, on="item", how="inner", maintain_order="left")
    from_last = pl.int_range(pl.len()).reverse().over("user")
    frame = frame.filter(pl.len().over("user") >= SHORTEST).with_columns(
        item="ours",
        split=pl.when(from_last == 0)
        .then(pl.lit(Split.TEST.value))
        .when(from_last == 1)
        .then(pl.lit(Split.VALID.value))
        .otherwise(pl.lit(Split.TRAIN.value))
        .cast(private.frame.schema["split"]),
    )
    return _dataset("public", private, frame.drop("ours"))


def _rows(canary: Canary, number: int, others: pl.DataFrame) -> pl.DataFrame:
    copies, length = canary.copies, len(canary.items)
    rows = pl.DataFrame(
        {
            "user": np.repeat([f"canary {number}.{copy}" for copy in range(copies)], length),
            "item": np.tile(canary.items, copies),
            "time": [others["time"].sort()[len(others) // 2]] * (copies * length),
            "split": [Split.TRAIN.value] * (copies * length),
            "rating": [4.0] * (copies * length),
        }
    )
    return rows.select(pl.col(name).cast(kind) for name, kind in others.schema.items())


def _dataset(name: str, like: Dataset, frame: pl.DataFrame) -> Dataset:
    counts = {"users": frame["user"].n_unique(), "items": len(like.catalog)}
    manifest = {"name": name, "split": "leave-one-out", "counts": counts, "left_out": {}}
    return Dataset(like.catalog, frame, manifest)

"""Fake profiles that push items: what an attacker adds to a log of interactions.

Sources: Lam and Riedl, "Shilling recommender systems for fun and profit", 2004 (random and average
attack); Mobasher et al., "Toward trustworthy recommender systems", 2007 (bandwagon attack). Both
are told for ratings, without an order; here an item is chosen or not, and the order of a profile is
drawn, so that a pushed item follows anything. `alternating` is made for models of sequences: each
chosen item is followed by a pushed one, after Yue et al., "Black-box attacks on sequential
recommenders via data-free model extraction", 2021.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.data.dataset import Dataset, Split

Kind = Literal["random", "average", "bandwagon", "alternating"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SHORTEST = 10
"""The fewest items that fill a profile beside the pushed ones."""
SELECTED = 20
"""The most popular items, which each profile of a bandwagon attack holds."""
TAIL = 0.25
"""Targets are of this least popular share of the items that training knows."""
Positions = npt.NDArray[np.int64]


def popularity(dataset: Dataset) -> Positions:
    """int64 [items], each item's number of training interactions."""
    items = np.concatenate([sequence.items for sequence in dataset.sequences()])
    return np.bincount(items, minlength=len(dataset.catalog))


def tail_items(dataset: Dataset, count: int, seed: int) -> Positions:
    """Items to push, int64 [count] catalog positions, drawn from the unpopular tail."""
    counts = popularity(dataset)
    known = np.flatnonzero(counts)
    tail = known[counts[known] <= np.quantile(counts[known], TAIL)]
    return np.random.default_rng(seed).choice(tail, count, replace=False)


def fake_profiles(
    dataset: Dataset, kind: Kind, share: float, targets: Positions, seed: int
) -> list[Positions]:
    """The profiles of one attack, each as long as that of a real user drawn at random.

    Args:
        dataset: The data that is attacked.
        kind: `random` fills profiles with items drawn evenly; `average` by popularity, so that they
            look like the crowd's; `bandwagon` with the most popular items and even draws;
            `alternating` by popularity, with a pushed item after each.
        share: Fake profiles as a share of the users that training knows.
        targets: Positions of the items that every profile pushes.
        seed: Of all draws.

    Returns:
        int64 [n] catalog positions each, oldest first.
    """
    rng = np.random.default_rng(seed)
    counts = popularity(dataset).astype(float)
    counts[targets] = 0
    crowd, even = counts / counts.sum(), np.where(counts > 0, 1.0, 0.0)
    top = np.argsort(-counts, kind="stable")[:SELECTED] if kind == "bandwagon" else counts[:0]
    even[top.astype(int)] = 0
    chances = crowd if kind in ("average", "alternating") else even / even.sum()
    lengths = [len(sequence.items) for sequence in dataset.sequences()]

    def profile() -> Positions:
        size = int(rng.choice(lengths)) // (2 if kind == "alternating" else 1)
        wanted = max(size - len(top), SHORTEST)
        filler = rng.choice(len(counts), min(wanted, (chances > 0).sum()), False, chances)
        if kind == "alternating":
            return np.stack([filler, np.resize(rng.permutation(targets), len(filler))], 1).ravel()
        return rng.permutation(np.concatenate([filler, top, targets])).astype(np.int64)

    return [profile() for _ in range(max(1, round(share * len(lengths))))]


def poison(dataset: Dataset, profiles: Sequence[Positions], seed: int) -> Dataset:
    """A data set with fake profiles among its training interactions.

    All of a fake profile may be learnt: an attacker who knows that the last interactions are held
    out adds two more. A profile begins at the time of a real interaction drawn at random and goes
    on second by second; its ratings and weights are the highest of the data.

    Args:
        dataset: The data that is attacked.
        profiles: int64 [n] catalog positions each, oldest first.
        seed: Of the times.
    """
    frame = dataset.frame
    rng = np.random.default_rng(seed)
    lengths = [len(profile) for profile in profiles]
    starts = np.zeros(len(profiles), np.int64)
    if dataset.times is not None:
        starts = rng.choice(dataset.times, len(profiles))
    steps = np.concatenate([np.arange(length) for length in lengths])
    times = pl.Series(np.repeat(starts, lengths) + steps, dtype=pl.Int64)
    users = [f"~fake{number:05d}" for number in range(len(profiles))]
    fake = pl.DataFrame(
        {
            "user": np.repeat(users, lengths),
            "item": np.concatenate(profiles),
            "time": times if dataset.times is not None else pl.Series([None] * len(times)),
            "split": [Split.TRAIN.value] * len(times),
        }
    ).with_columns(
        pl.lit(frame[name].max()).alias(name) for name in frame.columns if name not in _BASIC
    )
    whole = pl.concat([frame, fake.select(frame.columns).cast(frame.schema)])
    known = dataset.user_frame
    if known is not None:
        known = pl.concat([known, pl.DataFrame({"user": users})], how="diagonal")
    return Dataset(dataset.catalog, whole, dataset.manifest, known)


_BASIC = ("user", "item", "time", "split")

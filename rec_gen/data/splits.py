"""Ordering interactions and splitting them."""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.data.config import SplitConfig
from rec_gen.data.dataset import SPLITS, Split
from rec_gen.errors import DataError

Codes = npt.NDArray[np.uint8]
"""Positions in `SPLITS`, one an interaction."""

_TRAIN, _VALID, _TEST = (SPLITS.index(split) for split in (Split.TRAIN, Split.VALID, Split.TEST))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def order(frame: pl.DataFrame, users: list[str], items: list[str], seed: int) -> pl.DataFrame:
    """Sort interactions by user and time, ties in an order drawn by the seed.

    The order depends only on what the rows hold, never on how they stood: a tie is broken by the
    given split, if any, then by a hash of user id, item id and seed.

    Args:
        frame: `user` and `item` as positions in the ids, and `time`; without it, the rows of each
            user must stand oldest first and stay so.
        users: User ids.
        items: Item ids.
        seed: Another seed is another order of ties.
    """
    if "time" not in frame.columns:
        return frame.sort("user", maintain_order=True)
    draw = hash_ids(users, f"user {seed}")[frame["user"].to_numpy()]
    draw ^= hash_ids(items, f"item {seed}")[frame["item"].to_numpy()]
    frame = frame.with_columns(pl.Series("#draw", _splitmix64(draw)))
    ties = [name for name in ("split", "#draw", "rating", "weight") if name in frame.columns]
    return frame.sort("user", "time", *ties).drop("#draw")


def split(frame: pl.DataFrame, config: SplitConfig, name: str) -> tuple[Codes, str]:
    """Split ordered interactions.

    Args:
        frame: What `order` returns; for `leave-one-out`, with three rows or more a user.
        config: How to split.
        name: The data set's name, for messages.

    Returns:
        The split of each row, and a description of how it was done.

    Raises:
        DataError: The input has no times or no given split, or a split stays empty.
    """
    if config.kind == "leave-one-out":
        return _leave_one_out(frame["user"].to_numpy()), "leave-one-out"
    if config.kind == "given":
        codes, description = frame["split"].to_physical().to_numpy().astype(np.uint8), "given"
    elif "time" in frame.columns:
        codes, description = _global_time(frame["time"].to_numpy(), config)
    else:
        raise DataError(f"{name}: has no times; set split.kind to another than global-time")
    refuse_empty(codes, description, name)
    return codes, description


def refuse_empty(codes: Codes, description: str, name: str) -> None:
    """Refuse a split without interactions to learn from, or to be validated or tested on.

    Raises:
        DataError: It is one.
    """
    for code in (_TRAIN, _VALID, _TEST):
        if not (codes == code).any():
            problem = f"split {description}: no interaction falls into {SPLITS[code]}"
            raise DataError(f"{name}: {problem}; move the cuts, or correct the given split")


def _leave_one_out(users: npt.NDArray[np.uint32]) -> Codes:
    codes = np.full(len(users), _TRAIN, np.uint8)
    last = np.flatnonzero(np.r_[users[1:] != users[:-1], True])
    codes[last], codes[last - 1] = _TEST, _VALID
    return codes


def _global_time(times: npt.NDArray[np.int64], config: SplitConfig) -> tuple[Codes, str]:
    if config.valid_from and config.test_from:
        dates = (config.valid_from, config.test_from)
        cuts = [(date - _EPOCH) // timedelta(microseconds=1) for date in dates]
    else:
        count = len(times)
        shares = (config.valid + config.test, config.test)
        places = [count - max(round(count * share), 1) for share in shares]
        cuts = np.partition(times, places)[places].tolist()
    codes = (_TRAIN + np.searchsorted(cuts, times, side="right")).astype(np.uint8)
    valid, test = (
        np.datetime64(cut, "us") if cut % 1_000_000 else np.datetime64(cut // 1_000_000, "s")
        for cut in cuts
    )
    return codes, f"global-time, valid from {valid}, test from {test} UTC"


def out_of_order(users: npt.NDArray[np.uint32], codes: Codes) -> npt.NDArray[np.bool_]:
    """Whether an interaction comes after one of its user that a later split holds out.

    Args:
        users: [n], sorted.
        codes: [n], splits.
    """
    ranks = users.astype(np.int64) * len(SPLITS) + codes
    return (codes >= _TRAIN) & (np.maximum.accumulate(ranks) > ranks)


def hash_ids(ids: list[str], purpose: str) -> npt.NDArray[np.uint64]:
    """64 bits an id, the same on every machine; another purpose gives others."""
    start = blake2b(purpose.encode() + b"\0", digest_size=8)
    digests = bytearray()
    for identifier in ids:
        digest = start.copy()
        digest.update(identifier.encode())
        digests += digest.digest()
    return np.frombuffer(bytes(digests), "<u8").astype(np.uint64)


def _splitmix64(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele et al., 2014): each bit changes half of all bits."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))

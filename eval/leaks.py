"""Leaks by name: ways in which what is held out could have reached training, and its like.

Every evaluation runs these checks before anything is ranked.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from scipy.stats import binomtest

from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rec_gen.bundle import Bundle

Status = Literal["passed", "not applicable", "failed", "allowed"]

FEWEST_TIES, CHANCE, LEAST_SHIFT = 30, 1e-6, 0.05
"""Pairs that the test of ties needs, its p-value, and how far from a half the share must be."""


@dataclass(frozen=True)
class LeakCheck:
    """What a check found.

    Attributes:
        name: The check.
        status: `passed`, `not applicable`, or `allowed` where it failed and was allowed to.
        note: Why, in words; empty where there is nothing to say.
    """

    name: str
    status: Status
    note: str = ""


def check_leaks(
    dataset: Dataset, bundle: "Bundle | None" = None, allowed: Collection[str] = ()
) -> list[LeakCheck]:
    """Run every check.

    Args:
        dataset: What is evaluated on.
        bundle: The model; without one, the checks that look at it are not applicable.
        allowed: Checks that may fail, which is then told in the result.

    Raises:
        ConfigError: A check that is allowed to fail does not exist.
        DataError: A check failed; its name, the first row and the mend are named.
    """
    for name in allowed:
        if name not in CHECKS:
            raise ConfigError(f"--allow-leak {name}: is not one of {', '.join(CHECKS)}")
    found = []
    for name, check in CHECKS.items():
        status, note = check(dataset, bundle)
        if status == "failed":
            if name not in allowed:
                raise DataError(
                    f"{dataset.name}: leak {name}: {note}, or record it in the result with "
                    f"--allow-leak {name}"
                )
            status = "allowed"
        found.append(LeakCheck(name, status, note))
    return found


def join_checks(by_model: Mapping[str, list[LeakCheck]]) -> list[LeakCheck]:
    """One list of what the checks found with several models.

    Args:
        by_model: By model, what `check_leaks` found.

    Returns:
        A check once where all models agree, else once for each outcome with its models in the note.
    """
    found = []
    for checks in zip(*by_model.values(), strict=True):
        models: dict[LeakCheck, list[str]] = {}
        for model, check in zip(by_model, checks, strict=True):
            models.setdefault(check, []).append(model)
        if len(models) == 1:
            found.append(checks[0])
            continue
        for check, names in models.items():
            told = f": {check.note}" if check.note else ""
            found.append(replace(check, note=", ".join(names) + told))
    return found


def target_in_history(dataset: Dataset, _bundle: "Bundle | None") -> tuple[Status, str]:
    """Whether a held-out interaction stands in its user's training sequence, at or after its time.

    A repeat that truly happened earlier is no leak. Where there are no times, the order decides.
    """
    frame = dataset.frame.select("user", "item", "time", "split").with_row_index("row")
    trained = frame.filter(split=Split.TRAIN).group_by("user").agg(last=pl.max("row"))
    read = frame.join(trained, on="user").filter(pl.col("row") <= pl.col("last"))
    held = frame.filter(pl.col("split").is_in([Split.VALID, Split.TEST]))
    pairs = held.join(read, on=["user", "item"], suffix="_read")
    later = pl.col("row_read") >= pl.col("row")
    leaks = pairs.filter(later | (pl.col("time_read") >= pl.col("time"))).sort("row")
    if leaks.is_empty():
        return "passed", ""
    row = leaks.row(0, named=True)
    return "failed", (
        f"row {row['row']}: user '{row['user']}': item '{dataset.catalog.ids[row['item']]}' of the "
        f"{row['split']} split also stands in training at its time or later (row "
        f"{row['row_read']}): remove the repeated interaction and prepare and train again"
    )


def future_in_training(dataset: Dataset, _bundle: "Bundle | None") -> tuple[Status, str]:
    """Whether a training interaction of a split by global time is not before the first cut."""
    cut = re.match(r"global-time, valid from (\S+),", str(dataset.manifest.get("split")))
    if cut is None:
        return "not applicable", "the split is not by global time"
    # times are whole seconds, a cut need not be
    first = math.ceil(datetime.fromisoformat(cut[1]).replace(tzinfo=UTC).timestamp())
    trained = dataset.frame.with_row_index("row").filter(split=Split.TRAIN)
    late = trained.filter(pl.col("time") >= first)
    if late.is_empty():
        return "passed", ""
    row = late.row(0, named=True)
    return "failed", (
        f"row {row['row']}: user '{row['user']}': item '{dataset.catalog.ids[row['item']]}' of the "
        f"train split is of {datetime.fromtimestamp(row['time'], UTC):%Y-%m-%dT%H:%M:%S}, and the "
        f"cut was at {cut[1]} UTC: prepare and train again"
    )


def colliding_spellings(_dataset: Dataset, bundle: "Bundle | None") -> tuple[Status, str]:
    """Whether two items are spelled by the same tokens, or one spelling begins another."""
    if bundle is None:
        return "not applicable", "there is no bundle"
    spelled = [tokens.astype(">i4").tobytes() for tokens in bundle.spellings.tokens]
    order = sorted(range(len(spelled)), key=spelled.__getitem__)
    for one, other in pairwise(order):
        if spelled[other].startswith(spelled[one]):
            first, second = sorted((one, other))
            ids = bundle.catalog.ids
            return "failed", (
                f"row {first}: the spelling of item '{ids[one]}' equals or begins that of item "
                f"'{ids[other]}' (row {second}): spell the catalog and train again"
            )
    return "passed", ""


def ties_in_file_order(dataset: Dataset, _bundle: "Bundle | None") -> tuple[Status, str]:
    """Whether interactions of one user and time stand in the order of the catalog, or reversed.

    A prepared data set has lost the order of its file, but for that of the catalog. Where ties
    were left as they stood, and files are sorted by item, the last of a tie, which is held out, is
    foretold by its place in the catalog. The test cannot see another order of the file. Pairs are
    disjoint, so with ties drawn at random each goes either way with probability one half: a
    two-sided binomial test. Times are whole seconds here, so what came apart by less seems tied.
    """
    known = dataset.frame.select("user", "item", "time", "split").with_row_index("row")
    known = known.drop_nulls("time")
    runs = known.select(pl.struct("user", "time", "split").rle_id()).to_series().to_numpy()
    starts = np.flatnonzero(np.diff(runs, prepend=-1))
    places = np.arange(len(runs)) - starts[runs]
    first = np.flatnonzero((places[:-1] % 2 == 0) & (runs[1:] == runs[:-1]))
    items = known["item"].to_numpy().astype(np.int64)
    steps = items[first + 1] - items[first]
    first, steps = first[steps != 0], steps[steps != 0]
    if len(steps) < FEWEST_TIES:
        return "not applicable", f"{len(steps)} pairs are tied in time, {FEWEST_TIES} are needed"
    rising = int((steps > 0).sum())
    chance = float(binomtest(rising, len(steps)).pvalue)
    told = f"{rising:,} of {len(steps):,} pairs tied in time follow the catalog, p = {chance:.2g}"
    if chance >= CHANCE or abs(rising / len(steps) - 0.5) < LEAST_SHIFT:
        return "passed", told
    common = steps > 0 if 2 * rising > len(steps) else steps < 0
    row = known.row(int(first[common][0]), named=True)
    return "failed", (
        f"{told}; row {row['row']}: user '{row['user']}': item "
        f"'{dataset.catalog.ids[row['item']]}' is the first: break ties by a hash, as recgen "
        "prepare does, and train again"
    )


def bundle_of_this_data(dataset: Dataset, bundle: "Bundle | None") -> tuple[Status, str]:
    """Whether the bundle's model was trained on another data set or another split of it."""
    if bundle is None:
        return "not applicable", "there is no bundle"
    trained, present = bundle.manifest.fingerprint, dataset.fingerprint
    if trained == present:
        return "passed", ""
    return "failed", (
        f"the bundle '{bundle.manifest.name}' was trained on '"
        f"{bundle.manifest.dataset}' with fingerprint {trained}, and this is {present}, so what is "
        "held out here may have been learnt: evaluate on that data, or train on this"
    )


CHECKS: dict[str, Callable[[Dataset, "Bundle | None"], tuple[Status, str]]] = {
    "target-in-history-of-training": target_in_history,
    "future-in-training": future_in_training,
    "colliding-spellings": colliding_spellings,
    "ties-in-file-order": ties_in_file_order,
    "bundle-trained-on-this-data": bundle_of_this_data,
}
"""Every check by its name."""

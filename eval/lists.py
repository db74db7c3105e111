"""Ranked lists: where each target stands, and what was recommended."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.counts import Scores
from rec_gen.data.dataset import Example
from rec_gen.data.splits import hash_ids
from rec_gen.errors import DataError
from rec_gen.metrics import Floats, Ranks

NOTHING = -1
"""Stands past the end of a list."""


@dataclass(frozen=True)
class Cost:
    """What an answer cost, on average.

    Attributes:
        ms: Milliseconds of rendering and search, or of scoring, among the others of its batch;
            loading and fitting are not in it.
        prompt_tokens: Tokens that were read; None where nothing is read.
    """

    ms: float
    prompt_tokens: float | None = None


@dataclass(frozen=True, eq=False)
class RankedLists:
    """One system's answers to n examples.

    Attributes:
        ranks: Where the n targets stand.
        items: int32 [n, k], catalog positions, best first, -1 past the end.
        scores: float64 [n, k], what each of them scored, NaN past the end.
        cost: What an answer cost, where it was measured.
    """

    ranks: Ranks
    items: npt.NDArray[np.int32]
    scores: Floats
    cost: Cost | None = None

    @classmethod
    def empty(cls, n: int, k: int) -> "RankedLists":
        """Lists without an item."""
        ranks = Ranks(np.full(n, np.inf), np.full(n, np.inf))
        return cls(ranks, np.full((n, k), NOTHING, np.int32), np.full((n, k), np.nan))


def tie_order(catalog: Catalog, seed: int) -> npt.NDArray[np.int64]:
    """A place for each item by a hash of its id and the seed, int64 [items].

    Equal scores stand in this order in a list, so that it says nothing of the order of the
    catalog's file, in which popular or old items often come first.
    """
    drawn = np.argsort(hash_ids(catalog.ids, f"list {seed}"), kind="stable")
    places = np.empty(len(drawn), np.int64)
    places[drawn] = np.arange(len(drawn))
    return places


def top_items(scores: Scores, k: int, ties: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """The best items of each row, best first.

    Args:
        scores: float32 [n, items]; items with minus infinity are left out.
        k: The length of a list.
        ties: int64 [items], all different: of equal scores, the lower comes first.

    Returns:
        int32 [n, k], -1 past the end.
    """
    size = scores.shape[1]
    bits = scores.view(np.int32).astype(np.int64)
    # a float's bits are ordered like a number with a sign apart; now no two keys are equal
    keys = np.where(bits < 0, bits & np.iinfo(np.int32).max, -bits) * size + ties
    kept = min(k, size)
    found = np.argpartition(keys, kept - 1, axis=1)[:, :kept]
    order = np.take_along_axis(keys, found, axis=1).argsort(axis=1)
    found = np.take_along_axis(found, order, axis=1)
    found[np.take_along_axis(scores, found, axis=1) == -np.inf] = NOTHING
    lists = np.full((len(scores), k), NOTHING, np.int32)
    lists[:, :kept] = found
    return lists


def rank_targets(
    scores: Scores,
    targets: npt.NDArray[np.int64],
    k: int,
    ties: npt.NDArray[np.int64],
    system: str,
) -> RankedLists:
    """Rank each row's target among all items and list the best; see `top_items`.

    Args:
        scores: float32 [n, items], higher is better; minus infinity is not recommended at all.
        targets: int64 [n], a column for each row.
        k: The length of a list.
        ties: int64 [items].
        system: Whose scores these are, for the error.

    Raises:
        DataError: A score is NaN or infinity.
    """
    if not (scores < np.inf).all():
        row, item = np.argwhere(~(scores < np.inf))[0]
        raise DataError(
            f"{system}: row {item} of the catalog scores {scores[row, item]}, which has no place "
            "in an order: mend the system, minus infinity alone leaves an item out"
        )
    ranks = Ranks.of_scores(scores, targets)
    left_out = np.take_along_axis(scores, targets[:, None], axis=1)[:, 0] == -np.inf
    ranks.best[left_out] = ranks.worst[left_out] = np.inf
    items = top_items(scores, k, ties)
    listed = np.take_along_axis(scores, items, axis=1)
    return RankedLists(ranks, items, np.where(items == NOTHING, np.nan, listed))


def list_rows(
    system: str, lists: RankedLists, catalog: Catalog, examples: Sequence[Example]
) -> pl.DataFrame:
    """One row an example.

    Args:
        system: The system's name.
        lists: Its answers.
        catalog: What positions stand for.
        examples: The n examples.

    Returns:
        `system`, `user`, `target` (an item id), `best` and `worst` (the ranks that the target can
        take among equal scores, Float64 from 0; null where it was not ranked), `items` (the listed
        ids) and `history` (its length).
    """
    places = pl.element().filter(pl.element() != NOTHING)
    ids = places.replace_strict(range(len(catalog)), catalog.ids, return_dtype=pl.String)
    return pl.DataFrame(
        {
            "system": [system] * len(examples),
            "user": [example.user for example in examples],
            "target": [catalog.ids[example.target] for example in examples],
            "best": lists.ranks.best,
            "worst": lists.ranks.worst,
            "items": lists.items,
            "history": [len(example.history) for example in examples],
        }
    ).with_columns(
        *(pl.when(pl.col(end).is_finite()).then(end).alias(end) for end in ("best", "worst")),
        pl.col("items").arr.to_list().list.eval(ids),
    )

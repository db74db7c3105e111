"""The options of requests, checked before anything is searched."""

from collections.abc import Sequence
from typing import SupportsIndex, get_args

import numpy as np
import numpy.typing as npt

from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dialogue
from rec_gen.decoding.pool import Cap
from rec_gen.decoding.score import Score
from rec_gen.errors import BundleError, DataError, DecodingError
from rec_gen.preferences import categories
from rec_gen.slots import NOTHING, Known

STRONGEST = 100.0
"""Exposure control that is stronger would drown the log-probabilities."""


def checked_score(score: Score | None, trained: Score, **numbers: int) -> Score:
    """The score that is asked for, or else the one that the bundle was trained by.

    Args:
        score: What is asked for.
        trained: What the bundle was trained by.
        numbers: Further options by name, which must be whole numbers of at least 1.

    Raises:
        DecodingError: The score is none, or a number is wrong.
    """
    score = score or trained
    whole = all(isinstance(number, SupportsIndex) for number in numbers.values())
    if score not in get_args(Score) or not whole or min(numbers.values()) < 1:
        given = ", ".join(f"{name} {number}" for name, number in numbers.items())
        raise DecodingError(
            f"score is '{score}', {given}: give the score lm or catalog, and whole numbers of "
            "at least 1 for the others"
        )
    return score


def cap_of(catalog: Catalog, max_per: tuple[str, int]) -> Cap:
    """A cap for a column and how many items of each of its values may be returned.

    Raises:
        DecodingError: It is no such pair.
    """
    if isinstance(max_per, str) or len(max_per) != 2 or not isinstance(max_per[1], SupportsIndex):
        raise DecodingError(
            f"max_per is {max_per!r}: give a column and a whole number, such as ('category', 3)"
        )
    column, most = max_per
    return Cap(categories(catalog, column), min(most, len(catalog)))


def popularity_for(bundle: Bundle, exposure: float) -> npt.NDArray[np.int64] | None:
    """The training interactions with each item, int64 [items], where exposure is controlled.

    Raises:
        BundleError: The bundle holds none.
        DecodingError: The strength is no number from 0 to `STRONGEST`.
    """
    if not isinstance(exposure, int | float) or not 0 <= exposure <= STRONGEST:
        raise DecodingError(f"exposure is {exposure}: give a number from 0 to {STRONGEST:.0f}")
    if not exposure:
        return None
    if bundle.prior is None or bundle.prior.popularity is None:
        mend = "with a [prior] table in its recipe" if bundle.prior is None else "with --restart"
        raise BundleError(
            f"the bundle '{bundle.manifest.name}' holds no counts of its items: train it again "
            f"{mend}, or leave exposure at 0"
        )
    return bundle.prior.popularity


def known_of(dialogues: Sequence[Dialogue | None] | None, requests: int) -> list[Known]:
    """What each request tells beside its history.

    Raises:
        DataError: There are not as many dialogues as requests.
    """
    if dialogues is None:
        return [NOTHING] * requests
    if len(dialogues) != requests:
        raise DataError(f"{requests} histories and {len(dialogues)} dialogues: give one for each")
    return [Known(dialogue=dialogue) for dialogue in dialogues]

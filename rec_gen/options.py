"""The options of requests, checked before anything is searched."""

from collections.abc import Sequence
from typing import SupportsIndex, get_args

from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dialogue
from rec_gen.decoding.pool import Cap
from rec_gen.decoding.score import Score
from rec_gen.errors import DataError, DecodingError
from rec_gen.preferences import categories
from rec_gen.slots import NOTHING, Known


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

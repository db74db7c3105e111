"""Why an item fits a history: what it shares with an item of it, by the catalog's own columns."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl
import regex
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from rec_gen.catalog import Catalog
from rec_gen.text import clean_text

TITLE = "title"
LONGEST = 40
"""Characters of a value at most; two items that share more share a text and not a property."""
COMMON, COMMON_WORD = 0.5, 0.05
"""A value that more of the items have tells nothing, nor does a word of so many titles."""

_WORD = regex.compile(r"[\p{Letter}\p{Mark}]{3,}")
_TEXT = (pl.String, pl.Categorical, pl.Enum)
_Fact = tuple[str, str]


@dataclass(frozen=True)
class Reason:
    """What two items share.

    Attributes:
        field: The column; `title` for a word of the title.
        value: What both have in it.
        title: The title of the item of the history.
    """

    field: str
    value: str
    title: str


class Reasons:
    """Finds what items share that few others have."""

    def __init__(self, catalog: Catalog) -> None:
        self._titles = [clean_text(title) for title in catalog.titles]
        facts: list[set[_Fact]] = [
            {(TITLE, word) for word in set(_WORD.findall(title.lower())) - ENGLISH_STOP_WORDS}
            for title in self._titles
        ]
        for column in catalog.metadata:
            for own, values in zip(facts, _values(catalog.frame[column]), strict=True):
                own.update((column, value) for value in values if 0 < len(value) <= LONGEST)
        self._counts = Counter(fact for own in facts for fact in own)
        self._facts = [{fact for fact in own if self._tells(fact)} for own in facts]

    def find(self, history: Sequence[int], item: int) -> Reason | None:
        """The rarest thing that an item shares with another of a history, with its latest such.

        Args:
            history: Catalog positions, oldest first.
            item: A catalog position.
        """
        return next(iter(self.all(history, item)), None)

    def all(self, history: Sequence[int], item: int) -> list[Reason]:
        """All that an item shares with others of a history, the rarest first; see `find`."""
        latest = {
            fact: place
            for place in history
            if place != item
            for fact in self._facts[item] & self._facts[place]
        }
        rarest_first = sorted(latest, key=lambda fact: (self._counts[fact], fact))
        return [Reason(*fact, self._titles[latest[fact]]) for fact in rarest_first]

    def _tells(self, fact: _Fact) -> bool:
        share = COMMON_WORD if fact[0] == TITLE else COMMON
        return 2 <= self._counts[fact] <= max(2, share * len(self._titles))


def _values(column: pl.Series) -> Iterator[list[str]]:
    """The texts of each cell; none where a column holds anything but text."""
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else None
    if (column.dtype if inner is None else inner) not in _TEXT:
        yield from ([] for _ in range(len(column)))
        return
    for cell in column.to_list():
        values = [cell] if inner is None else cell
        yield [clean_text(value) for value in values or () if value is not None]

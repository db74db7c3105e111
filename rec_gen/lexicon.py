"""Which words name an item of a catalog, or a value of one of its columns."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import polars as pl
import regex
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from rec_gen.catalog import Catalog
from rec_gen.rules import can_stand_in_a_rule
from rec_gen.text import clean_text

LONGEST = 6
"""Words of a value at most; a longer text describes and does not name."""
WINDOW = 32
"""Characters before a title of one word that tell whether it is a name."""
WORD = regex.compile(r"[\p{Letter}\p{Mark}\p{Number}]+(?:[-'][\p{Letter}\p{Mark}\p{Number}]+)*")
_YEAR = regex.compile(r"\s*\(\d{4}\)\s*$")
_STATED_YEAR = regex.compile(r"\s*\((?P<year>\d{4})\)|,? (?P<year>\d{4})\b")
_NAMED_AFTER = regex.compile(
    r"(?:[.!?]\s|\b(?:seen|saw|watched|read|not|like|liked|loved|hate|recommend|than|and|or))\s*$"
)
_NAMED_BEFORE = regex.compile(
    r"\s*(?:$|[^\w\s]|(?:and|or|vs|versus|again|please|yet|already|too|is|was)\b)"
)
_TEXT = (pl.String, pl.Categorical, pl.Enum)


@dataclass(frozen=True)
class Mention:
    """A name in a text.

    Attributes:
        start: Where it begins, in characters.
        end: Where it ends.
        item: The id of the item that it names; None where it names a value.
        column: The column of the value, else empty.
        value: The value, else empty.
    """

    start: int
    end: int
    item: str | None = None
    column: str = ""
    value: str = ""


class Lexicon:
    """The names of a catalog: titles, and the values of columns that hold texts."""

    def __init__(self, catalog: Catalog) -> None:
        self._names: dict[tuple[str, ...], list[Mention]] = {}
        self._several: dict[str, bool] = {}
        self._years: dict[str, str] = {}  # of the titles that tell it
        self._longest: dict[str, int] = {}  # of the names that begin with a word
        for column in catalog.metadata:
            dtype = catalog.frame[column].dtype
            inner = dtype.inner if isinstance(dtype, pl.List) else dtype
            if inner not in _TEXT or not can_stand_in_a_rule(column):
                continue
            self._several[column] = isinstance(dtype, pl.List)
            values = (
                catalog.frame[column].explode()
                if self._several[column]
                else (catalog.frame[column])
            )
            for value in values.cast(pl.String).unique(maintain_order=True).drop_nulls():
                self._add(value, Mention(0, 0, None, column, value))
        for item, title in zip(catalog.ids, catalog.titles, strict=True):
            self._add(name_of(title), Mention(0, 0, item))
            if year := _YEAR.search(title):
                self._years[item] = year[0].strip(" ()")

    def holds_several(self, column: str) -> bool:
        """Whether an item can have several values of a column."""
        return self._several[column]

    def test(self, column: str, value: str) -> str:
        """The rule that items with a value pass."""
        return f"{value!r} in {column}" if self._several[column] else f"{column} == {value!r}"

    def find(self, text: str) -> list[Mention]:
        """The names in a text in lower case, the longest at each place, first to last.

        A title of one word that stands in every text is not heard. All that a name stands for is
        found, values before items.
        """
        words = [(match.start(), match.end(), match[0]) for match in WORD.finditer(text)]
        found, place = [], 0
        while place < len(words):
            longest = self._longest.get(words[place][2], 1)
            for length in range(min(longest, len(words) - place), 0, -1):
                span = words[place : place + length]
                known = self._known(tuple(word for *_, word in span))
                if known:
                    start, end = span[0][0], span[-1][1]
                    found += [Mention(start, end, one.item, one.column, one.value) for one in known]
                    place += length
                    break
            else:
                place += 1
        return found

    def hear(self, text: str) -> list[Mention]:
        """The names in what a person wrote, first to last.

        A title of one word is no name where it is written in lower case, or begins a sentence,
        unless it stands alone, as in "not heat". A stated year, as in "Heat (1995)", chooses among
        equal titles and belongs to the name.
        """
        lower, found = plain(text), []
        for _, group in groupby(self.find(lower), key=lambda one: (one.start, one.end)):
            same = list(group)
            start, end = same[0].start, same[0].end
            if not _is_name(text, start, end):
                same = [one for one in same if one.item is None]
            found += self._of_year(text, same)
        return found

    def _of_year(self, text: str, same: list[Mention]) -> list[Mention]:
        """Of equal names those whose year stands behind them, if one does."""
        stated = _STATED_YEAR.match(text, same[0].end) if same else None
        if stated is None or not any(one.item in self._years for one in same):
            return same
        chosen = [one for one in same if self._years.get(one.item or "") == stated["year"]]
        if not chosen and not stated[0].endswith(")"):
            return same
        return [replace(one, end=stated.end()) for one in chosen]

    def _known(self, words: tuple[str, ...]) -> list[Mention]:
        """What words name, in the singular or the plural."""
        for last in _singulars(words[-1]):
            if known := self._names.get((*words[:-1], last)):
                return known
        return []

    def _add(self, name: str, mention: Mention) -> None:
        words = tuple(match[0] for match in WORD.finditer(plain(name)))
        if not words or (len(words) == 1 and words[0] in ENGLISH_STOP_WORDS):
            return
        if mention.item is None and len(words) > LONGEST:
            return
        self._names.setdefault(words, []).append(mention)
        self._longest[words[0]] = max(self._longest.get(words[0], 1), len(words))


def _is_name(text: str, start: int, end: int) -> bool:
    """Whether what may be a title of one word is one, by its case and by what stands around it."""
    word = text[start:end]
    if regex.search(r"\s", word):
        return True
    before = text[start - WINDOW : start] if start > WINDOW else f". {text[:start]}"
    if before.endswith(('"', "'", "\u201c", "\u2018")):
        return True
    alone = _NAMED_AFTER.search(plain(before)) and _NAMED_BEFORE.match(text, end)
    first = regex.search(r"[.!?]\s*$", before)
    lower = word == word.lower() and (word != word.upper() or word.isdigit())
    return bool(alone) or not (lower or first)


def plain(text: str) -> str:
    """The text in lower case with straight apostrophes, character by character."""
    return "".join(low if len(low := one.lower()) == 1 else one for one in text).replace(
        "\u2019", "'"
    )


def name_of(title: str) -> str:
    """A title as people say it, without a year in brackets at its end."""
    return str(_YEAR.sub("", clean_text(title)))


def _singulars(word: str) -> Iterator[str]:
    yield word
    if word.endswith("ies"):
        yield f"{word[:-3]}y"
    if word.endswith("es"):
        yield word[:-2]
    if word.endswith("s"):
        yield word[:-1]

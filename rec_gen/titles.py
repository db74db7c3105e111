"""Which titles stand in a text that only some items may be named in."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt
import regex
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from rec_gen.catalog import Catalog
from rec_gen.lexicon import WORD, name_of

_POSSESSIVE = regex.compile(r"['\u2019]s?$")
_Words = tuple[str, ...]


class Titles:
    """Finds the titles of a catalog, whatever their length, case and punctuation.

    A title of one word is a name only where the text does not write it in lower case, and none
    where the word stands in every text: "big" is no film, "It" may be one and cannot be told. One
    that was spoken of is a name in lower case too.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._items: dict[_Words, list[int]] = defaultdict(list)
        for item, title in enumerate(catalog.titles):
            words = _words(name_of(title))
            if len(words) > 1 or not ENGLISH_STOP_WORDS.issuperset(words):
                self._items[words].append(item)
        self._longest = max(map(len, self._items), default=0)

    def without(
        self, text: str, allowed: npt.NDArray[np.bool_], spoken: AbstractSet[int] = frozenset()
    ) -> str:
        """A text without the titles that name an item which is not allowed.

        Args:
            text: Any text.
            allowed: bool [items], by catalog position.
            spoken: Catalog positions of what was named before the text.
        """
        while (span := next(self._refused(text, allowed, spoken), None)) is not None:
            before, after = text[: span[0]], text[span[1] :]
            text = before + (after.lstrip() if before[-1:].isspace() or not before else after)
        return text

    def _refused(
        self, text: str, allowed: npt.NDArray[np.bool_], spoken: AbstractSet[int]
    ) -> Iterator[tuple[int, int]]:
        words = list(WORD.finditer(text))
        for place in range(len(words)):
            for length in range(min(self._longest, len(words) - place), 0, -1):
                span = words[place : place + length]
                items = self._named([word[0] for word in span])
                if length == 1 and span[0][0].islower():
                    items = items if not spoken.isdisjoint(items) else []
                if not allowed[items].all():
                    yield span[0].start(), span[-1].end()

    def _named(self, words: Sequence[str]) -> list[int]:
        """The items of a name, which may stand in the genitive."""
        lower = [word.lower() for word in words]
        bare = [*lower[:-1], _POSSESSIVE.sub("", lower[-1])]
        return self._items.get(tuple(lower), []) or self._items.get(tuple(bare), [])


def _words(text: str) -> _Words:
    return tuple(match[0].lower() for match in WORD.finditer(text))

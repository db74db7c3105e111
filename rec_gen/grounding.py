"""Whether an explanation cites only what its item and the user's history hold."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import regex

from rec_gen.catalog import Item
from rec_gen.errors import GroundingError
from rec_gen.lexicon import Lexicon, Mention, name_of, plain
from rec_gen.text import clean_text


def ungrounded(lexicon: Lexicon, text: str, item: Item, history: Sequence[Item]) -> list[Mention]:
    """The titles and the values of columns that a text cites falsely.

    A citation is true where the item or one of the history has it: as its title, in the column of
    the value, or as words of its title. A name of several things is true if one of them is.

    Args:
        lexicon: The names of the catalog.
        text: An explanation.
        item: What is explained.
        history: What the user chose.
    """
    items = (item, *history)
    titles = [f" {_key(name_of(one.title))} " for one in items]
    places: defaultdict[int, list[Mention]] = defaultdict(list)
    lower = plain(text)
    for words in (lower, lower.replace("'s", "  ")):  # a name may stand in the genitive
        for mention in lexicon.find(words):
            places[mention.start].append(mention)
    false = []
    for mentions in places.values():
        words = _key(text[mentions[0].start : mentions[0].end])
        in_title = any(f" {words} " in title for title in titles)
        if not in_title and not any(_holds(one, items) for one in mentions):
            false.append(mentions[0])
    return false


def check_explanation(lexicon: Lexicon, text: str, item: Item, history: Sequence[Item]) -> None:
    """Refuse an explanation that cites what neither item nor history holds.

    Raises:
        GroundingError: It does; the first false citation is named.
    """
    for mention in ungrounded(lexicon, text, item, history):
        where = f"column '{mention.column}'" if mention.item is None else "title"
        raise GroundingError(
            f"item '{item.id}': its explanation cites '{text[mention.start : mention.end]}', the "
            f"{where} of neither the item nor the history: leave it out"
        )


def _holds(mention: Mention, items: Sequence[Item]) -> bool:
    if mention.item is not None:
        return any(one.id == mention.item for one in items)
    return any(_key(mention.value) in _values(one.fields.get(mention.column)) for one in items)


def _values(value: Any) -> set[str]:
    return {_key(str(one)) for one in (value if isinstance(value, list) else [value])}


def _key(text: str) -> str:
    """A text by its words, in lower case."""
    return " ".join(regex.findall(r"[\p{Letter}\p{Mark}\p{Number}]+", clean_text(text).lower()))

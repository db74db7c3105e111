"""Questions about items that were shown, which need no model: which differ how, and why these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import regex

from rec_gen.catalog import Item
from rec_gen.lexicon import plain
from rec_gen.listener import COMPARATIVES, Listener
from rec_gen.replying import Draft
from rec_gen.text import clean_text

LONGEST = 80
"""Characters of a value that are told at most."""

_SUPERLATIVES: Mapping[str, str] = {
    "cheapest": "cheaper", "most expensive": "more expensive", "shortest": "shorter",
    "longest": "longer", "newest": "newer", "most recent": "more recent", "oldest": "older",
    "earliest": "earlier",
}  # fmt: skip
_DEGREE = "|".join([*_SUPERLATIVES, *COMPARATIVES])
_COMPARE = regex.compile(
    r"\bcompare\b|\bdifferences? between\b|\bhow (?:do|does|are|is) .*\bdiffer|\bversus\b|\bvs\b"
    rf"|\bwhich (?:one |film |movie |book |item |of .{{1,60}} )?(?:is|are) (?:the )?"
    rf"(?P<word>{_DEGREE})\b"
)
_WHY = regex.compile(
    r"^\W*(?:(?:but|and|so|ok|okay|hm+) )*why\b"
    r"(?! (?:not|no|only|don't|do you (?:only|always|never|not)|can't|isn't|aren't)\b)"
)
_BOTH = regex.compile(r"\b(?:them|these|those|both|all|two|three)\b")


@dataclass(frozen=True)
class Question:
    """A question about items.

    Attributes:
        kind: How they differ, or why they were recommended.
        items: Their ids.
        word: The comparison that was asked for, such as `shorter`; empty for all columns.
    """

    kind: Literal["compare", "why"]
    items: tuple[str, ...]
    word: str = ""


def asks(clause: str) -> bool:
    """Whether a part of a message is such a question, and so no wish."""
    lower = plain(clause)
    return bool(_WHY.search(lower) or _COMPARE.search(lower))


def find_question(listener: Listener, message: str, shown: Sequence[str]) -> Question | None:
    """The question that a message asks, if any.

    Args:
        listener: Knows what titles and places refer to.
        message: The words of a person.
        shown: Ids of the items that were recommended last.
    """
    asking = [clause for clause in listener.clauses(message) if asks(clause)]
    if not asking:
        return None
    named = listener.refer(message, shown)
    lower = plain(asking[0])
    if found := _COMPARE.search(lower):
        word = found["word"] or ""
        items = named if len(named) > 1 or not (word or _BOTH.search(lower)) else shown
        return Question("compare", tuple(items), _SUPERLATIVES.get(word, word))
    return Question("why", tuple(named or shown))


def compare(listener: Listener, items: Sequence[Item], word: str) -> Draft:
    """How items differ, by their own fields.

    Args:
        listener: Knows which column holds what can be compared.
        items: Which.
        word: A comparison, see `Question`.
    """
    if len(items) < 2:
        return Draft("Name two items to compare.")
    if word:
        return _ordered(listener, items, word)
    differing = [
        column
        for column in listener.catalog.metadata
        if any(item.fields[column] != items[0].fields[column] for item in items)
    ]
    draft = Draft()
    for item in items:
        told = [f"{column} {_told(item.fields[column])}" for column in differing]
        draft.say(" " if draft.text else "").name(item).say(f": {'; '.join(told)}.")
    return draft if differing else Draft("The catalog tells no difference between them.")


def _ordered(listener: Listener, items: Sequence[Item], word: str) -> Draft:
    quantity, sign = COMPARATIVES[word]
    column = listener.columns[quantity]
    if column is None:
        return Draft(f"No column of the catalog holds a {quantity}.")
    known = [item for item in items if item.fields[column] is not None]
    known.sort(key=lambda item: item.fields[column], reverse=sign == ">")
    draft = Draft(f"The {word} first: ")
    for place, item in enumerate([*known, *(one for one in items if one not in known)]):
        draft.say(", " if place else "").name(item).say(f" ({column} {_told(item.fields[column])})")
    return draft.say(".")


def _told(value: Any) -> str:
    """A value for people to read."""
    if value is None:
        return "not known"
    if isinstance(value, float):
        return f"{value:g}"
    text = clean_text(", ".join(map(str, value)) if isinstance(value, list) else str(value))
    return (
        text if len(text) <= LONGEST else f"{text[:LONGEST].rsplit(' ', 1)[0]} \u2026"
    ) or "not known"

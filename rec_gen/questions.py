"""Questions about items that were shown, which need no model: which differ how, and why these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import regex

from rec_gen.bounds import COMPARATIVES
from rec_gen.catalog import Item
from rec_gen.clauses import Clause
from rec_gen.listener import Listener
from rec_gen.references import find_places
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
_WHICH = regex.compile(
    rf"\bwhich (?:one |film |movie |book |item |of .{{1,60}} )?(?:is|are) (?:the )?"
    rf"(?P<word>{_DEGREE})\b"
)
_COMPARE = regex.compile(
    r"^\W*(?:(?:and|so|ok|okay|now|can you|could you|let's) )*compare\b"
    r"|\bdifferences? between\b|\bhow (?:do|does|are|is) .{1,80}\bdiffer|\bversus\b|\bvs\b"
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


def asks(clause: Clause, shown: Sequence[str]) -> bool:
    """Whether a part of a message is such a question, and so no wish but for what it refuses.

    To compare takes two items or a word such as "them".
    """
    words = clause.words
    if _WHY.search(words) or _WHICH.search(words):
        return True
    found = _COMPARE.search(words)
    if found is None:
        return False
    named = {one.start for one in clause.titles} | {one.start for one in find_places(words, shown)}
    begins = found[0].endswith("compare") and bool(named)
    return len(named) > 1 or begins or _BOTH.search(words) is not None


def find_question(listener: Listener, message: str, shown: Sequence[str]) -> Question | None:
    """The question that a message asks, if any.

    Args:
        listener: Knows what titles and places refer to.
        message: The words of a person.
        shown: Ids of the items that were recommended last.
    """
    asking = [clause for clause in listener.clauses(message) if asks(clause, shown)]
    if not asking:
        return None
    named = listener.refer(message, shown)
    words = asking[0].words
    if _WHY.search(words):
        return Question("why", tuple(named or shown))
    which = _WHICH.search(words)
    word = which["word"] if which else ""
    items = named if len(named) > 1 or not (word or _BOTH.search(words)) else shown
    return Question("compare", tuple(items), _SUPERLATIVES.get(word, word))


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

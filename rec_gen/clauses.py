"""The parts of a message that a "not" does not reach across, with the names in them masked."""

from bisect import bisect_left
from dataclasses import dataclass, replace

import regex

from rec_gen.lexicon import Lexicon, Mention, plain

_SERIES = r"(?<=\b(?:seen|saw|watched|read)\b[^.;!?\n]{0,200}_),(?= _+(?:, _+)*,? (?:and|or) _)"
_CUT = regex.compile(
    rf",? ?\b(?P<please>please|pls)\b|[;!?\n]+|(?<!\bvs)(?!{_SERIES})[.,]+(?!\d)|(?<!\d)[.,]+(?=\d)"
    r"|(?<!\b(?:any|no|every)thing (?:else )?|\ball )\bbut\b|\b(?:though|however)\b"
)


@dataclass(frozen=True)
class Clause:
    """A part of a message.

    Attributes:
        text: As it was written, without spaces around it.
        words: The same in lower case, with `_` for each character of a name.
        mentions: The names in it, by their place in the text.
        pleads: Whether a "please" follows.
        alone: Whether it is the whole message.
    """

    text: str
    words: str
    mentions: tuple[Mention, ...]
    pleads: bool = False
    alone: bool = False

    @property
    def titles(self) -> tuple[Mention, ...]:
        """The mentions of items that are no values of a column too."""
        values = {one.start for one in self.mentions if one.item is None}
        return tuple(one for one in self.mentions if one.item and one.start not in values)


def clauses(lexicon: Lexicon, message: str) -> list[Clause]:
    """Cut a message into clauses; no name and no number is cut."""
    mentions = lexicon.hear(message)
    words = masked(plain(message), mentions)
    cuts = [(match.start(), match.end(), bool(match["please"])) for match in _CUT.finditer(words)]
    found, start = [], 0
    for stop, after, pleads in [*cuts, (len(message), len(message), False)]:
        text = message[start:stop].strip()
        if text:
            first = start + message[start:stop].index(text)
            low, high = (
                bisect_left(mentions, at, key=lambda one: one.start) for at in (start, stop)
            )
            inside = tuple(
                replace(one, start=one.start - first, end=one.end - first)
                for one in mentions[low:high]
            )
            found.append(Clause(text, words[first : first + len(text)], inside, pleads))
        start = after
    return found if len(found) != 1 else [replace(found[0], alone=True)]


def masked(words: str, mentions: list[Mention]) -> str:
    """A text with `_` in the place of each name."""
    characters = list(words)
    for one in mentions:
        characters[one.start : one.end] = "_" * (one.end - one.start)
    return "".join(characters)

"""Words that refer to what was recommended last: "the second one", "it", "none of these"."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex

_ORDINALS = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3,
             "4th": 3, "fifth": 4, "5th": 4, "last": -1}  # fmt: skip
_COUNTS = {"one": 1, "two": 2, "three": 3}
_KINDS = r"(?:ones?|movies?|films?|books?|items?|options?|suggestions?)"
_ORDINAL = regex.compile(
    rf"\bthe (?P<place>{'|'.join(_ORDINALS)})\b"
    rf"(?: (?:(?P<count>one|two|three)\b|{_KINDS}\b)|(?=\s*(?:$|[^\w\s]|(?:and|or|is|was|but|again"
    r"|too|please|already|instead|though|because|as|for|in)\b)))"
)
_TAIL = (
    rf"(?: {_KINDS})?(?: (?:again|already|at all|either|though|too|before|very much|any ?more"
    r"|twice|once|yet|now|instead|thanks))*\W*$"
)
_WHICH = r"(?P<which>it|that|this|them|those|these|all|both)"
_OF = r"(?:(?:any|all|both|either|one) (?:of )?)?"
_SEEN = regex.compile(
    rf"\b(?P<verb>seen|saw|watched) {_OF}(?P<which>it|them|all|both)\b"
    r"|\b(?P<verb>seen|saw|watched|read|played|heard|own(?:ed)?|bought|have|know|had) "
    rf"{_OF}{_WHICH}{_TAIL}"
)
_REFUSED = regex.compile(
    r"(?!did(?:n'?t| not) (?:see|watch|read|hear))\b"
    r"(?P<verb>not|(?:(?:do|did|does|would|wo|ca|could)(?:n'?t| not)|dont|cannot|never)"
    r"(?: (?:really|even))?(?: (?:like|want|enjoy|love|need|recommend|show me|give me))?"
    r"(?: ?(?:to )?(?:see|watch|read|hear about))?|(?:hate|dislike)d?|skip|avoid|without|except"
    rf"|anything but) {_OF}{_WHICH}{_TAIL}"
    rf"|\b(?P<verb>(?:none|neither)) of (?P<which>these|those|them){_TAIL}"
)
_OTHER = regex.compile(r"\b(?:something|anything|what) else\b|\bother (?:ones?|options?)\b")
_SEVERAL = frozenset({"them", "those", "these", "all", "both"})


@dataclass(frozen=True)
class Place:
    """Items named by their place.

    Attributes:
        start: Where the words begin.
        end: Where they end.
        text: The words.
        items: Ids; none where nothing has that place.
        sure: Whether the words can only mean items, as "the second one" and unlike "the second".
    """

    start: int
    end: int
    text: str
    items: tuple[str, ...]
    sure: bool


@dataclass(frozen=True)
class Pronoun:
    """A word such as "it" in words that refuse it, or say that it was seen.

    Attributes:
        start: Where the words begin, its verb included.
        word: Itself.
        items: Ids of what it can mean, best first.
        seen: Whether it was seen, else it is refused.
    """

    start: int
    word: str
    items: tuple[str, ...]
    seen: bool


def find_places(words: str, shown: Sequence[str]) -> Iterator[Place]:
    """The items that a text in lower case names by their place among those that were shown."""
    for match in _ORDINAL.finditer(words):
        first, count = _ORDINALS[match["place"]], _COUNTS[match["count"] or "one"]
        start = max(len(shown) - count, 0) if first < 0 else first
        items, sure = tuple(shown[start : start + count]), bool(match["count"])
        yield Place(match.start(), match.end(), match[0].strip(), items, sure)


def find_pronoun(words: str, shown: Sequence[str]) -> Pronoun | None:
    """The pronoun in a text in lower case that is refused or was seen, if any."""
    refused, seen = _REFUSED.search(words), _SEEN.search(words)
    match = refused or seen
    if match is None:
        return None
    items = shown if match["which"] in _SEVERAL else shown[:1]
    start = match.start() if refused else match.end("verb")
    return Pronoun(start, match["which"], tuple(items), match is not refused)


def asks_for_others(words: str) -> bool:
    """Whether a text in lower case asks for something else than what was shown."""
    return _OTHER.search(words) is not None

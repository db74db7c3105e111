"""Bounds and comparisons in words: "under $20", "from 1990 to 2000", "in the 90s", "shorter"."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import regex

QUANTITIES: Mapping[str, tuple[str, ...]] = {
    "price": ("price", "cost"),
    "length": ("runtime", "duration", "minutes", "length", "pages"),
    "year": ("year", "release_year", "published"),
}
"""What can be compared, and the columns that hold it, of which the first that is there counts."""

COMPARATIVES: Mapping[str, tuple[str, str]] = {
    "cheaper": ("price", "<"), "less expensive": ("price", "<"), "more expensive": ("price", ">"),
    "pricier": ("price", ">"), "shorter": ("length", "<"), "longer": ("length", ">"),
    "newer": ("year", ">"), "more recent": ("year", ">"), "older": ("year", "<"),
    "earlier": ("year", "<"),
}  # fmt: skip
"""Words of comparison: the quantity, and how what is wished for compares with what is there."""

_WORDS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_UNITS = {
    **dict.fromkeys(("dollars", "dollar", "bucks", "euros", "euro", "pounds", "usd", "eur"),
                    ("price", 1.0)),
    **dict.fromkeys(("minutes", "minute", "min", "mins", "pages"), ("length", 1.0)),
    **dict.fromkeys(("hours", "hour", "hrs", "h"), ("length", 60.0)),
}  # fmt: skip
_BEFORE = {
    **dict.fromkeys(("under", "below", "less than", "fewer than", "cheaper than", "shorter than",
                     "before", "older than", "earlier than"), "<"),
    **dict.fromkeys(("at most", "up to", "no more than", "not more than", "no longer than",
                     "not longer than", "no later than", "no newer than", "not over", "max",
                     "maximum", "until"), "<="),
    **dict.fromkeys(("over", "above", "more than", "longer than", "after", "newer than",
                     "later than"), ">"),
    **dict.fromkeys(("at least", "no less than", "not less than", "no shorter than",
                     "not shorter than", "no older than", "not older than", "not under", "since"),
                    ">="),
    "from": "==",
}  # fmt: skip
_AFTER = {
    **dict.fromkeys(("or less", "or under", "or shorter", "or cheaper", "or fewer", "or earlier",
                     "or older", "or before", "at most", "max", "maximum", "tops"), "<="),
    **dict.fromkeys(("or more", "or longer", "or later", "or newer", "or after", "at least",
                     "and up", "onwards", "onward", "and later", "and newer"), ">="),
}  # fmt: skip
_BY_YEAR = {"before", "after", "since", "from", "until", "older than", "newer than",
            "earlier than", "later than", "no older than", "not older than", "no newer than",
            "no later than"}  # fmt: skip
_BY_LENGTH = {"shorter than", "longer than", "no longer than", "not longer than",
              "no shorter than", "not shorter than"}  # fmt: skip


def _any(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\d\w.,]*\d)"
_HOURS = rf"(?:{'|'.join(_WORDS)})(?= (?:hours?|and a half))"
_NUMBER = (
    rf"(?P<money>[$€£])? ?(?P<number>{_DIGITS}(?!\w)|\d+(?=h\b)|{_HOURS})(?P<half> and a half)?"
    rf"(?: ?-?(?P<unit>{'|'.join(_UNITS)})\b)?(?P<half> and a half\b)?"
)
_HIGHER = rf"[$€£]? ?(?P<higher>{_DIGITS})(?: ?(?P<unit>{'|'.join(_UNITS)})\b)?"
_RANGE = regex.compile(
    rf"\b(?P<word>from|between) {_NUMBER} ?(?:to|and|until|till|[-\u2013]) ?{_HIGHER}"
)
_LEADING = regex.compile(
    rf"(?<!\w)(?P<word>{_any(_BEFORE)}) {_NUMBER}(?: (?:{_any(_AFTER)})\b)?(?P<rest> ?[\w%]+)?"
)
_TRAILING = regex.compile(rf"(?<![\w$€£.,]){_NUMBER} (?P<word>{_any(_AFTER)})\b")
_OPEN = frozenset(
    ("please", "and", "or", "with", "without", "by", "from", "but", "if", "is", "for", "in", "that",
     "which", "thanks", "to", "starring", "then", "only", "instead", "too", "as", "at", "of", "so",
     "this", "though", "can", "would", "no", "not", "movie", "movies", "film", "films", "book",
     "books")
)  # fmt: skip
"""Words behind a number that say nothing of what is counted."""
_DECADE = regex.compile(
    r"(?:\b(?:in|from|of|during) )?(?:\bthe |(?<!\w)')'?(?P<decade>(?:19|20)?\d0)'?s\b"
    r"|\b(?P<decade>(?:19|20)\d0)'?s\b|(?<=\d0'?s (?:and|or) )'?(?P<decade>\d0)'?s\b"
    r"|(?<!\b(?:my|his|her|their|your|our) )\b(?P<decade>\d0)'?s(?= (?:_|movies?|films?|books?))"
)
_COMPARE = regex.compile(
    rf"(?<!\b(?:my|your|our|the|said|told|asked|saw|seen|watched|no) )"
    rf"\b(?P<word>{_any(COMPARATIVES)})\b"
)
_LOOSE = regex.compile(r"\b(?:older|earlier|longer)\b")
_MEANT = regex.compile(
    r"^(?:(?:and|but|or|even|much|a bit|a little|slightly|something|anything|nothing|not|please"
    r"|ok|okay|yes|no) )*$"
)


@dataclass(frozen=True)
class Bound:
    """A test of a quantity.

    Attributes:
        start: Where its words begin.
        end: Where they end.
        quantity: One of `QUANTITIES`.
        test: A rule with `{}` in the place of the column.
        decade: Whether it is a decade.
    """

    start: int
    end: int
    quantity: str
    test: str
    decade: bool = False


@dataclass(frozen=True)
class Comparative:
    """A word of `COMPARATIVES` that compares with items.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        word: Itself.
        joined: Whether an "or" joins it to the one before.
        loose: Whether it is heard only where something is asked for or refused, as with "earlier".
    """

    start: int
    end: int
    word: str
    joined: bool
    loose: bool


def find_bounds(words: str) -> tuple[list[Bound], str]:
    """The bounds in a text in lower case, and the text with `#` in their place."""
    found: list[Bound] = []
    for pattern, read in ((_RANGE, _range), (_TRAILING, _single), (_LEADING, _single),
                          (_DECADE, _decade)):  # fmt: skip
        for match in pattern.finditer(words):
            bound = read(match)
            if bound is not None:
                found.append(bound)
                words = hidden(words, bound.start, bound.end)
    return sorted(found, key=lambda one: one.start), words


def find_comparatives(words: str) -> Iterator[Comparative]:
    """The comparisons in a text in lower case that holds no bounds any more."""
    last = None
    for match in _COMPARE.finditer(words):
        between = words[last : match.start()].strip() if last is not None else ""
        loose = (
            _LOOSE.fullmatch(match["word"]) is not None
            and not words[match.end() :].startswith(" than")
            and not _MEANT.match(words[: match.start()])
        )
        yield Comparative(match.start(), match.end(), match["word"], between == "or", loose)
        last = match.end()


def hidden(words: str, start: int, end: int) -> str:
    """A text with `#` in a place."""
    return words[:start] + "#" * (end - start) + words[end:]


def _range(match: regex.Match[str]) -> Bound | None:
    low, high = _value(match["number"]), _value(match["higher"])
    quantity, factor = _UNITS.get(match["unit"] or "", (None, 1.0))
    if match["money"]:
        quantity = "price"
    elif quantity is None and _is_year(low) and _is_year(high):
        quantity = "year"
    if quantity is None or low > high:
        return None
    test = f"{low * factor:.15g} <= {{}} <= {high * factor:.15g}"
    return Bound(match.start(), match.end(), quantity, test)


def _single(match: regex.Match[str]) -> Bound | None:
    word, rest = match["word"], (match.groupdict().get("rest") or "").strip()
    number = _value(match["number"]) + (0.5 if match["half"] else 0)
    quantity, factor = _UNITS.get(match["unit"] or "", (None, 1.0))
    unnamed = quantity is None
    counted = bool(rest) and rest not in _OPEN and not match["unit"] and rest[0] != "_"
    after = match["word"] in _AFTER and match["word"] not in _BEFORE
    if match["money"] or word == "cheaper than":
        quantity = "price"
    elif unnamed and _is_year(number) and (word in _BY_YEAR or not counted):
        quantity = "year"
    elif unnamed and word in _BY_LENGTH and not counted:
        quantity = "length"
    elif unnamed and word in ("under", "over") and not counted:
        quantity = "price"
    sign = _AFTER[word] if after else _BEFORE.get(word) or _AFTER[word]
    if sign == "==" and match[0].rstrip().endswith(("onwards", "onward", "and later", "or later")):
        sign = ">="
    if quantity is None or (sign == "==" and quantity != "year"):
        return None
    end = match.start("rest") if rest else match.end()
    return Bound(match.start(), end, quantity, f"{{}} {sign} {number * factor:.15g}")


def _decade(match: regex.Match[str]) -> Bound:
    decade = int(match["decade"])
    if decade < 100:
        decade += 1900 if decade > 20 else 2000
    return Bound(match.start(), match.end(), "year", f"{decade} <= {{}} < {decade + 10}", True)


def _value(number: str) -> float:
    return float(_WORDS.get(number) or number.replace(",", ""))


def _is_year(number: float) -> bool:
    return 1800 <= number <= 2200

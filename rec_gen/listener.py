"""What a message states about the items that it wants, as filters: by rules, not by a model.

A wish that is understood is a rule over the catalog's columns or a list of items that are not to
come back, beside the words that say it, so that whoever said it can see and take it back. What is
heard and cannot be kept, such as "cheaper" where no column holds a price, is told too.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import inf

import regex

from rec_gen.catalog import Catalog
from rec_gen.lexicon import Lexicon, Mention, plain
from rec_gen.wishes import Wish

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
_ORDINALS = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3,
             "4th": 3, "fifth": 4, "5th": 4, "last": -1}  # fmt: skip

_CLAUSE = regex.compile(r"[.;!?\n]+|,|(?<!\b(?:any|no)thing )\bbut\b|\b(?:though|however)\b")
_NOT = regex.compile(
    r"\b(?:no|not|without|except|excluding|avoid|hate|dislike|never|nothing|anything but|no more"
    r"|less|enough|tired of|(?:do|does|did|is|are|was|wo|ca)n'?t)\b"
)
_ASK = regex.compile(
    r"\b(?:only|must be|has to be|want|need|looking for|show|recommend|give|find|suggest|prefer"
    r"|in the mood for|something|anything|make it)\b"
)
_FINE = regex.compile(r"\s*(?:is|are|would be|sounds?) (?:fine|ok|okay|good|great|alright)\b")
_SEEN = regex.compile(
    r"\b(?:seen|saw|watched|read|played|heard|own|owned|bought|have|know|had) "
    r"(?:(?:all|both) (?:of )?)?(it|that|this|them|those|these|all|both|the)\b"
)
_KNOWN = regex.compile(r"\b(?:seen|saw|watched|read|played|owned|bought)\b")
_REFUSED = regex.compile(r"\bnot (?:that|this|it|those|these|them|the)\b")
_OTHER = regex.compile(r"\b(?:something|anything|what) else\b|\bother (?:ones?|options?)\b")
_SEVERAL = frozenset({"them", "those", "these", "all", "both"})
_ORDINAL = regex.compile(rf"\bthe ({'|'.join(_ORDINALS)})(?: (one|two|three))?\b")
_COUNTS = {"one": 1, "two": 2, "three": 3}
_COMPARE = regex.compile(rf"\b({'|'.join(COMPARATIVES)})\b")
_NUMBER = r"(?P<money>[$€£])? ?(?P<number>\d+(?:\.\d+)?)(?: ?(?P<unit>[a-z]+))?"
_BOUND = regex.compile(
    rf"\b(?P<word>under|below|less than|cheaper than|shorter than|at most|up to|no more than"
    rf"|before|older than|over|above|more than|longer than|at least|after|since|newer than"
    rf"|from) {_NUMBER}"
)
_DECADE = regex.compile(r"\b(?:in|from|of) the (?P<decade>(?:19|20)?\d0)'?s\b")
_BOUNDS = {
    "under": "<", "below": "<", "less than": "<", "cheaper than": "<", "shorter than": "<",
    "at most": "<=", "up to": "<=", "no more than": "<=", "before": "<", "older than": "<",
    "over": ">", "above": ">", "more than": ">", "longer than": ">", "at least": ">=",
    "after": ">", "since": ">=", "newer than": ">", "from": "==",
}  # fmt: skip
_UNITS = {
    **dict.fromkeys(("dollars", "dollar", "bucks", "euros", "euro", "pounds", "usd", "eur"),
                    ("price", 1.0)),
    **dict.fromkeys(("minutes", "minute", "min", "mins", "pages"), ("length", 1.0)),
    **dict.fromkeys(("hours", "hour", "hrs", "h"), ("length", 60.0)),
}  # fmt: skip


class Listener:
    """Hears wishes about the items of a catalog.

    Attributes:
        catalog: The items.
        lexicon: Their names.
        columns: The column of each of `QUANTITIES`, or None.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog, self.lexicon = catalog, Lexicon(catalog)
        numeric = {
            name for name, dtype in catalog.frame.schema.items()
            if dtype.is_numeric() and name.isidentifier()
        }  # fmt: skip
        self.columns = {
            quantity: next((name for name in names if name in numeric), None)
            for quantity, names in QUANTITIES.items()
        }

    def hear(self, message: str, shown: Sequence[str] = ()) -> list[Wish]:
        """What a message states.

        Args:
            message: The words of a person.
            shown: Ids of the items that were recommended last, best first, to which words such as
                "it", "cheaper" and "the second one" refer.
        """
        wishes: list[Wish] = []
        referred: list[str] = []
        for clause in self.clauses(message):
            lower = plain(clause)
            mentions = self.lexicon.find(lower)
            titles = [item for _, item in _titles(lower, mentions)]
            referred = titles or _referred(lower, shown) or referred
            wishes += self._hear_clause(clause, mentions, referred, list(shown))
        return wishes

    def clauses(self, message: str) -> list[str]:
        """The parts of a message that a "not" does not reach across; no name is cut."""
        lower = plain(message)
        inside = {place for one in self.lexicon.find(lower) for place in range(one.start, one.end)}
        cuts = [match.span() for match in _CLAUSE.finditer(lower) if match.start() not in inside]
        starts = [0, *(end for _, end in cuts)]
        ends = [*(start for start, _ in cuts), len(message)]
        return [message[a:b] for a, b in zip(starts, ends, strict=True) if message[a:b].strip()]

    def refer(self, message: str, shown: Sequence[str] = ()) -> list[str]:
        """The items that a message names by title, or by their place among those shown last.

        Args:
            message: The words of a person.
            shown: Ids of the items that were recommended last, best first.

        Returns:
            Item ids in the order of the words, each once.
        """
        lower = plain(message)
        titles = _titles(lower, self.lexicon.find(lower))
        found = sorted([*titles, *_places(lower, shown)], key=lambda one: one[0])
        return list(dict.fromkeys(item for _, item in found))

    def _hear_clause(
        self, clause: str, mentions: Sequence[Mention], referred: list[str], shown: list[str]
    ) -> Iterator[Wish]:
        lower = plain(clause)
        titles = [item for _, item in _titles(lower, mentions)]
        ordinal = _ORDINAL.search(lower)
        if ordinal and shown and not referred and (ordinal[2] or _SEEN.search(lower)):
            yield Wish(clause.strip(), problem=f"{ordinal[0]} is not among the last items")
        elif found := _SEEN.search(lower) or _REFUSED.search(lower):
            several = found[found.re.groups] if found.re.groups else found[0].split()[-1]
            gone = referred or (shown if several in _SEVERAL else shown[:1])
            if gone:
                yield Wish(clause.strip(), block=tuple(gone))
            elif several != "the" and lower.strip().endswith((several, f"{several} one")):
                yield Wish(clause.strip(), problem=f"{several}? Nothing was recommended yet")
        elif titles and (_NOT.search(lower) or _KNOWN.search(lower)):
            yield Wish(clause.strip(), block=tuple(titles))
        elif _OTHER.search(lower) and shown:
            yield Wish(clause.strip(), block=tuple(shown))
        yield from self._values(clause, lower, mentions)
        yield from self._bounds(clause, lower)
        for match in _COMPARE.finditer(lower):
            if lower[match.end() :].startswith(" than") and _BOUND.search(lower):
                continue  # "cheaper than 20" is a bound
            yield self._compared(clause.strip(), match[1], referred or shown)

    def _values(self, clause: str, lower: str, mentions: Sequence[Mention]) -> Iterator[Wish]:
        """Values of columns that are refused, asked for, or allowed again."""
        said = clause.strip()
        refused, asked = _end(_NOT, lower), _end(_ASK, lower)
        wanted: dict[tuple[str, ...], list[str]] = {}
        for start, found in groupby(mentions, key=lambda one: one.start):
            values = [one for one in found if one.item is None]
            tests = [self.lexicon.test(one.column, one.value) for one in values]
            if not values:
                continue
            if start >= refused:
                yield from (Wish(said, rule=f"not {test}") for test in tests)
            elif _FINE.match(lower, values[0].end):
                yield from (Wish(said, lifts=f"not {test}") for test in tests)
            elif start >= asked:
                columns = tuple(dict.fromkeys(one.column for one in values))
                wanted.setdefault(columns, []).append(" or ".join(dict.fromkeys(tests)))
        for columns, tests in wanted.items():
            several = any(self.lexicon.holds_several(column) for column in columns)
            every = several and " or " not in lower
            each = [f"({test})" for test in dict.fromkeys(tests)] if len(columns) > 1 else tests
            yield Wish(said, rule=(" and " if every else " or ").join(dict.fromkeys(each)))

    def _bounds(self, clause: str, lower: str) -> Iterator[Wish]:
        said = clause.strip()
        for match in _DECADE.finditer(lower):
            decade = match["decade"]
            first = (
                int(decade)
                if len(decade) == 4
                else (1900 if int(decade) > 20 else 2000) + int(decade)
            )
            yield self._ruled(said, "year", f"{first} <= {{}} < {first + 10}")
        for match in _BOUND.finditer(lower):
            number, sign = float(match["number"]), _BOUNDS[match["word"]]
            quantity, factor = _UNITS.get(match["unit"] or "", (None, 1.0))
            if match["money"] or match["word"] == "cheaper than":
                quantity = "price"
            elif quantity is None and 1800 <= number <= 2200 and not match["unit"]:
                quantity = "year"
            elif quantity is None and match["word"] in ("shorter than", "longer than"):
                quantity = "length"
            elif quantity is None and match["unit"] is None and match["word"] in ("under", "over"):
                quantity = "price"
            if quantity is not None and (sign != "==" or quantity == "year"):
                rule = f"{{}} {sign} {number * factor:g}"
                refused = _NOT.search(lower[: match.start()])
                yield self._ruled(said, quantity, f"not ({rule})" if refused else rule)

    def _compared(self, said: str, word: str, items: Sequence[str]) -> Wish:
        """A wish for less or more of something than each of some items has."""
        quantity, sign = COMPARATIVES[word]
        column = self.columns[quantity]
        if column is None:
            return Wish(said, problem=f"no column of the catalog holds a {quantity}")
        if not items:
            return Wish(said, problem=f"{word} than what? Nothing was recommended yet")
        held = [self.catalog[self.catalog.position(item)].fields[column] for item in items]
        known = [value for value in held if value is not None]
        if not known:
            return Wish(said, problem=f"the {quantity} of these items is not known")
        return Wish(said, rule=f"{column} {sign} {min(known) if sign == '<' else max(known)}")

    def _ruled(self, said: str, quantity: str, rule: str) -> Wish:
        column = self.columns[quantity]
        if column is None:
            return Wish(said, problem=f"no column of the catalog holds a {quantity}")
        return Wish(said, rule=rule.format(column))


def _end(pattern: regex.Pattern[str], text: str) -> float:
    """Where the first match ends; a name behind it is within its reach."""
    match = pattern.search(text)
    return match.end() if match else inf


def _titles(lower: str, mentions: Sequence[Mention]) -> list[tuple[int, str]]:
    """Where titles stand and what they name; a name that is a value too is one of what was seen."""
    values = set() if _KNOWN.search(lower) else {one.start for one in mentions if not one.item}
    return [(one.start, one.item) for one in mentions if one.item and one.start not in values]


def _referred(lower: str, shown: Sequence[str]) -> list[str]:
    """The items of the last list that are named by their place."""
    return [item for _, item in _places(lower, shown)]


def _places(lower: str, shown: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Where a text in lower case names items by their place, and which they are."""
    for match in _ORDINAL.finditer(lower):
        first, count = _ORDINALS[match[1]], _COUNTS[match[2] or "one"]
        start = max(len(shown) - count, 0) if first < 0 else first
        yield from ((match.start(), item) for item in shown[start : start + count])

"""What a message states about the items that it wants, as filters: by rules, not by a model.

A wish that is understood is a rule over the catalog's columns or a list of items that are not to
come back, beside the words that say it, so that whoever said it can see and take it back. What is
heard and cannot be kept, such as "cheaper" where no column holds a price, is told too. What could
mean one thing or its opposite is not heard.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import groupby

from rec_gen.bounds import (
    COMPARATIVES,
    QUANTITIES,
    Bound,
    Comparative,
    find_bounds,
    find_comparatives,
    hidden,
)
from rec_gen.catalog import Catalog
from rec_gen.clauses import Clause, clauses
from rec_gen.lexicon import Lexicon
from rec_gen.polarity import Stance, Stances
from rec_gen.references import asks_for_others, find_places, find_pronoun
from rec_gen.wishes import Wish

_GONE = (Stance.REFUSED, Stance.SEEN)
_UNHEARD = (Stance.UNCLEAR, Stance.ALLOWED)


class Listener:
    """Hears wishes about the items of a catalog.

    Attributes:
        catalog: The items.
        lexicon: Their names.
        columns: The column of each of `QUANTITIES`, or None.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog, self.lexicon = catalog, Lexicon(catalog)
        self._clauses = lru_cache(maxsize=256)(partial(clauses, self.lexicon))
        numeric = {name for name, dtype in catalog.frame.schema.items() if dtype.is_numeric()}
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
            referred = [item for _, item in _named(clause, shown)] or referred
            wishes += self._hear_clause(clause, referred, list(shown))
        return wishes

    def clauses(self, message: str) -> Sequence[Clause]:
        """The parts of a message that a "not" does not reach across; no name is cut."""
        return self._clauses(message)

    def refer(self, message: str, shown: Sequence[str] = ()) -> list[str]:
        """The items that a message names by title, or by their place among those shown last.

        Args:
            message: The words of a person.
            shown: Ids of the items that were recommended last, best first.

        Returns:
            Item ids in the order of the words, each once.
        """
        found = (item for clause in self.clauses(message) for _, item in _named(clause, shown))
        return list(dict.fromkeys(found))

    def asked_for(
        self, message: str, shown: Sequence[str] = (), *, told: bool = False
    ) -> dict[str, str]:
        """The items that a message asks for by name or place, rather than for others like them.

        Args:
            message: The words of a person.
            shown: Ids of the items that were recommended last, best first.
            told: Whether to ask to be told about one is enough.

        Returns:
            The words that ask, by item id.
        """
        wanted = (Stance.ASKED, Stance.TOLD) if told else (Stance.ASKED,)
        asked: dict[str, str] = {}
        for clause in self.clauses(message):
            stances = Stances(clause)
            for start, item in _named(clause, shown):
                if stances.of_item(start) in wanted:
                    asked.setdefault(item, clause.text)
        return asked

    def _hear_clause(self, clause: Clause, referred: list[str], shown: list[str]) -> Iterator[Wish]:
        bounds, words = find_bounds(clause.words)
        compared = list(find_comparatives(words))
        for one in compared:
            words = hidden(words, one.start, one.end)
        stances = Stances(clause, words)
        yield from self._gone(clause, Stances(clause), referred, shown)
        yield from self._values(clause, stances)
        yield from self._bounds(clause, stances, bounds)
        yield from self._comparisons(clause, stances, compared, referred or shown)

    def _gone(
        self, clause: Clause, stances: Stances, referred: list[str], shown: list[str]
    ) -> Iterator[Wish]:
        """Items that are refused or were seen, and places that nothing has."""
        said = clause.text
        gone: list[str] = []
        pronoun = find_pronoun(clause.words, referred or shown)
        for place in find_places(clause.words, shown):
            stance = stances.of_item(place.start)
            if place.items and stance in _GONE:
                gone += place.items
            elif shown and not place.items and (place.sure or stance in _GONE):
                yield Wish(said, problem=f"{place.text} is not among the last items")
                return
        values = {one.start for one in clause.mentions if one.item is None}
        for one in clause.mentions:
            if one.item is not None:
                stance = stances.of_item(one.start)
                alone = stance is Stance.REFUSED and one.start not in values
                gone += [one.item] if stance is Stance.SEEN or alone else []
        if pronoun and not gone:
            meant = not pronoun.seen or stances.of_item(pronoun.start) is Stance.SEEN
            if meant and pronoun.items:
                gone += referred or pronoun.items
            elif meant:
                yield Wish(said, problem=f"{pronoun.word}? Nothing was recommended yet")
        if not gone and asks_for_others(clause.words):
            gone = [*shown, *referred]
        if gone:
            yield Wish(said, block=tuple(dict.fromkeys(gone)))

    def _values(self, clause: Clause, stances: Stances) -> Iterator[Wish]:
        """Values of columns that are refused, asked for, or allowed again."""
        wanted: dict[tuple[str, ...], list[str]] = {}
        for _, found in groupby(clause.mentions, key=lambda one: one.start):
            values = [one for one in found if one.item is None]
            if not values:
                continue
            tests = [self.lexicon.test(one.column, one.value) for one in values]
            stance = stances.of(values[0].start, values[0].end)
            if stance is Stance.REFUSED:
                yield from (Wish(clause.text, rule=f"not {test}") for test in tests)
            elif stance is Stance.ALLOWED:
                yield from (Wish(clause.text, lifts=f"not {test}") for test in tests)
            elif stance is Stance.ASKED:
                columns = tuple(dict.fromkeys(one.column for one in values))
                wanted.setdefault(columns, []).append(" or ".join(dict.fromkeys(tests)))
        for columns, tests in wanted.items():
            several = any(self.lexicon.holds_several(column) for column in columns)
            each = list(dict.fromkeys(tests))
            if several and " or " not in clause.words:
                yield from (Wish(clause.text, rule=test) for test in each)
            else:
                yield Wish(clause.text, rule=" or ".join(each))

    def _bounds(self, clause: Clause, stances: Stances, bounds: Sequence[Bound]) -> Iterator[Wish]:
        """Bounds; those that an "or" joins are one wish, and so are decades that an "and" joins."""
        found: list[tuple[Wish, bool]] = []
        last = 0
        for bound in bounds:
            stance = stances.of_bound(bound.start)
            between, last = clause.words[last : bound.start].strip(), bound.end
            if stance in (*_UNHEARD, Stance.SEEN):
                continue
            column = self.columns[bound.quantity]
            rule = _turned(bound.test.format(column), stance)
            wish = Wish(clause.text, rule=rule) if column else _no_column(clause, bound.quantity)
            joined = between == "or" or (between == "and" and bound.decade)
            found.append((wish, joined and stance is not Stance.REFUSED))
        return _joined(found)

    def _comparisons(
        self,
        clause: Clause,
        stances: Stances,
        compared: Sequence[Comparative],
        items: Sequence[str],
    ) -> Iterator[Wish]:
        """Comparisons; those that an "or" joins are one wish."""
        found: list[tuple[Wish, bool]] = []
        for one in compared:
            stance = stances.of_bound(one.start)
            if stance in _UNHEARD or (one.loose and stance not in (Stance.ASKED, Stance.REFUSED)):
                continue
            wish = self._compared(clause, one.word, items, stance)
            found.append((wish, one.joined and stance is not Stance.REFUSED))
        return _joined(found)

    def _compared(self, clause: Clause, word: str, items: Sequence[str], stance: Stance) -> Wish:
        """A wish for less or more of something than each of some items has."""
        quantity, sign = COMPARATIVES[word]
        column = self.columns[quantity]
        if column is None:
            return _no_column(clause, quantity)
        if not items:
            problem = f"{word} than what? Nothing was recommended yet"
            return Wish(clause.text, problem=problem)
        held = [self.catalog[self.catalog.position(item)].fields[column] for item in items]
        known = [value for value in held if value is not None]
        if not known:
            return Wish(clause.text, problem=f"the {quantity} of these items is not known")
        rule = f"{column} {sign} {min(known) if sign == '<' else max(known)}"
        return Wish(clause.text, rule=_turned(rule, stance))


def _named(clause: Clause, shown: Sequence[str]) -> list[tuple[int, str]]:
    """Where a clause names items by title or place, and which they are, first to last."""
    titles = [(one.start, one.item) for one in clause.titles if one.item is not None]
    places = [
        (place.start, item) for place in find_places(clause.words, shown) for item in place.items
    ]
    return sorted([*titles, *places], key=lambda one: one[0])


def _turned(rule: str, stance: Stance) -> str:
    return f"not ({rule})" if stance is Stance.REFUSED else rule


def _joined(found: Iterable[tuple[Wish, bool]]) -> Iterator[Wish]:
    """Wishes of a clause; one that is joined to the one before makes one rule with it."""
    pending: Wish | None = None
    for wish, joined in found:
        if joined and pending and pending.rule and wish.rule:
            pending = Wish(wish.said, rule=f"{pending.rule} or {wish.rule}")
            continue
        if pending:
            yield pending
        pending = wish
    if pending:
        yield pending


def _no_column(clause: Clause, quantity: str) -> Wish:
    return Wish(clause.text, problem=f"no column of the catalog holds a {quantity}")

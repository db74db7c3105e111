"""What a person states of the items that may come."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import regex


@dataclass(frozen=True)
class Wish:
    """One thing that a message states.

    Attributes:
        said: The words, as they were written.
        rule: What an item must pass, see `rec_gen.rules`.
        block: Ids of items that must not come back.
        lifts: An earlier rule that holds no longer, or `not` and a title that may come back.
        problem: Why the wish cannot be kept; then it has no effect.
    """

    said: str
    rule: str | None = None
    block: tuple[str, ...] = ()
    lifts: str | None = None
    problem: str | None = None


_INSTEAD = regex.compile(r"\binstead\b(?! of\b)", regex.IGNORECASE)


def settled(
    earlier: Sequence[Wish], later: Sequence[Wish], released: Mapping[str, Wish]
) -> tuple[list[Wish], list[Wish]]:
    """All wishes that hold after a message, and those of the message.

    A later wish lifts an earlier one about the same value: what is refused was asked for, or the
    other way round. An "instead" lifts all that was asked for of the same columns. What is lifted
    is dropped, and told as a wish of the message.

    Args:
        earlier: Those that held before the message, oldest first.
        later: Those of the message.
        released: Wishes that lift the block of an item, by its id.
    """
    held: list[Wish] = []
    lifting: dict[Wish, None] = {}
    for wish in earlier:
        back = [item for item in wish.block if item in released]
        lifting.update(dict.fromkeys(released[item] for item in back))
        block = tuple(item for item in wish.block if item not in back)
        said = _lifted_by(wish, later)
        if said is not None:
            lifting[Wish(said, lifts=wish.rule)] = None
        elif block or not back:
            held.append(replace(wish, block=block))
    told = [*(wish for wish in lifting if wish not in later), *later]
    return [*held, *told], told


def _lifted_by(wish: Wish, later: Sequence[Wish]) -> str | None:
    """The words of the message that lift an earlier rule, if any do."""
    if wish.rule is None:
        return None
    own = _Rule(wish.rule)
    against = [
        (one.said, tests)
        for one, rule in _rules(later)
        if rule.negative != own.negative and (tests := rule.tests & own.tests)
    ]
    if against and own.tests <= frozenset().union(*(tests for _, tests in against)):
        return against[0][0]
    for one, rule in _rules(later):
        if (
            not own.negative
            and not rule.negative
            and rule.columns & own.columns
            and _INSTEAD.search(one.said)
        ):
            return one.said
    return next((one.said for one in later if one.lifts == wish.rule), None)


class _Rule:
    """What a rule of a wish tests."""

    def __init__(self, rule: str) -> None:
        tree = ast.parse(rule, mode="eval").body
        nodes = list(ast.walk(tree))
        self.negative = isinstance(tree, ast.UnaryOp)
        self.tests = frozenset(ast.unparse(n) for n in nodes if isinstance(n, ast.Compare))
        self.columns = frozenset(n.id for n in nodes if isinstance(n, ast.Name))


def _rules(wishes: Sequence[Wish]) -> Iterator[tuple[Wish, _Rule]]:
    return ((wish, _Rule(wish.rule)) for wish in wishes if wish.rule is not None)

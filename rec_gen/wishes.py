"""What a person states of the items that may come, and what follows from it for a search."""

from collections.abc import Sequence
from dataclasses import dataclass

from rec_gen.index import Filters


@dataclass(frozen=True)
class Wish:
    """One thing that a message states.

    Attributes:
        said: The words, as they were written.
        rule: What an item must pass, see `rec_gen.rules`.
        block: Ids of items that must not come back.
        lifts: An earlier rule that holds no longer.
        problem: Why the wish cannot be kept; then it has no effect.
    """

    said: str
    rule: str | None = None
    block: tuple[str, ...] = ()
    lifts: str | None = None
    problem: str | None = None


def filters(wishes: Sequence[Wish], seen: Sequence[str] = ()) -> Filters:
    """What is left to recommend once all wishes are kept.

    Args:
        wishes: Of a whole dialogue, oldest first.
        seen: Ids of more items that must not come back.
    """
    lifted = {wish.lifts: place for place, wish in enumerate(wishes) if wish.lifts}
    rules = [
        wish.rule
        for place, wish in enumerate(wishes)
        if wish.rule is not None and lifted.get(wish.rule, -1) < place
    ]
    block = dict.fromkeys([*seen, *(item for wish in wishes for item in wish.block)])
    where = " and ".join(f"({rule})" for rule in dict.fromkeys(rules))
    return Filters(tuple(block), None, where or None)

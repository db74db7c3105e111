"""Which wishes can be kept, and what is left once they are."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rec_gen.catalog import Catalog
from rec_gen.errors import RuleError
from rec_gen.index import Filters
from rec_gen.rules import eligible_items
from rec_gen.wishes import Wish

MOST_RULES = 64
"""Different rules that the wishes of one dialogue can have; the latest hold."""
TOO_MANY = f"more is wished for than the latest {MOST_RULES} things, which are kept"
UNFIT = "it fits no column of the catalog"

Masks = Mapping[str, npt.NDArray[np.bool_]]


class Keeper:
    """Evaluates each rule of a dialogue's wishes once, and the latest only so far.

    Args:
        catalog: The items.
        wishes: Of a whole dialogue, oldest first.

    Attributes:
        masks: What each rule that is kept lets through, bool [items], by catalog position.
    """

    def __init__(self, catalog: Catalog, wishes: Sequence[Wish]) -> None:
        rules = list(dict.fromkeys(wish.rule for wish in reversed(wishes) if wish.rule is not None))
        self._problems = dict.fromkeys(rules[MOST_RULES:], TOO_MANY)
        masks = {}
        for rule in rules[:MOST_RULES]:
            try:
                masks[rule] = eligible_items(catalog, rule)
            except RuleError:
                self._problems[rule] = UNFIT
        self.masks: Masks = masks

    def keep(self, wishes: Sequence[Wish]) -> tuple[Wish, ...]:
        """Wishes as they are, or with the reason why one cannot be kept in place of its rule."""
        return tuple(
            wish if (problem := self._problems.get(wish.rule or "")) is None
            else replace(wish, rule=None, problem=problem)
            for wish in wishes
        )  # fmt: skip


def holding(wishes: Sequence[Wish]) -> list[Wish]:
    """Wishes without those whose rules were lifted later.

    Args:
        wishes: Of a whole dialogue, oldest first.
    """
    lifted = {wish.lifts: place for place, wish in enumerate(wishes) if wish.lifts}
    return [wish for place, wish in enumerate(wishes) if lifted.get(wish.rule or "", -1) < place]


def filters(wishes: Sequence[Wish], seen: Sequence[str] = ()) -> Filters:
    """What is left to recommend once all wishes are kept.

    Args:
        wishes: Of a whole dialogue, oldest first.
        seen: Ids of more items that must not come back.
    """
    rules = [wish.rule for wish in holding(wishes) if wish.rule is not None]
    block = dict.fromkeys([*seen, *(item for wish in wishes for item in wish.block)])
    where = " and ".join(f"({rule})" for rule in dict.fromkeys(rules))
    return Filters(tuple(block), None, where or None)

"""Rules of wishes are evaluated once each, and only so many."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.keeping import MOST_RULES, TOO_MANY, UNFIT, Keeper, filters, holding
from rec_gen.rules import eligible_items
from rec_gen.wishes import Wish
from tests.rec_gen.test_wishes import FILMS

RULES = ["year < 1990", "year > 2000", "'Horror' in genres", "not 'Horror' in genres", "year > 1"]


def test_the_latest_rules_are_kept_and_the_others_say_why() -> None:
    wishes = [Wish(f"after {year}", f"year > {year}", ("m1",)) for year in range(1900, 2000)]
    keeper = Keeper(FILMS, [*wishes, wishes[0]])
    kept = keeper.keep([*wishes, wishes[0]])
    assert len(keeper.masks) == MOST_RULES
    assert [wish.problem for wish in kept] == [
        None,
        *[TOO_MANY] * (len(wishes) - MOST_RULES),
        *[None] * MOST_RULES,
    ]
    assert all(wish.block == ("m1",) for wish in kept)
    assert not any(wish.rule for wish in kept if wish.problem)


def test_a_rule_that_fits_no_column_is_not_kept() -> None:
    wishes = [Wish("cheap", "price < 3"), Wish("no horror", "not 'Horror' in genres")]
    assert Keeper(FILMS, wishes).keep(wishes) == (Wish("cheap", problem=UNFIT), wishes[1])


@given(st.lists(st.tuples(st.sampled_from(RULES), st.booleans()), min_size=1))
def test_masks_of_what_holds_are_the_rule_of_all(said: list[tuple[str, bool]]) -> None:
    wishes = [Wish(rule, lifts=rule) if lifts else Wish(rule, rule) for rule, lifts in said]
    masks = Keeper(FILMS, wishes).masks
    passed = np.ones(len(FILMS), bool)
    for wish in holding(wishes):
        passed &= True if wish.rule is None else masks[wish.rule]
    where = filters(wishes).where
    assert passed.tolist() == (
        [True] * len(FILMS) if where is None else eligible_items(FILMS, where).tolist()
    )

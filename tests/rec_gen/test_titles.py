"""Titles of refused items leave a text, and nothing else does."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.catalog import Catalog
from rec_gen.titles import Titles

NAMES = [
    "Heat (1995)",
    "The Ring (2002)",
    "Dr. Strangelove or: How I Learned to Stop Worrying (1964)",
    "It (2017)",
    "Heat (1972)",
    "300 (2006)",
]
CATALOG = Catalog(pl.DataFrame({"item": list("abcdef"), "title": NAMES}))
TITLES = Titles(CATALOG)


def without(text: str, *refused: int) -> str:
    allowed = np.ones(len(CATALOG), bool)
    allowed[list(refused)] = False
    return TITLES.without(text, allowed)


@pytest.mark.parametrize(
    ("text", "refused", "left"),
    [
        ("Try Heat and the ring.", [1], "Try Heat and ."),
        ("Try Heat and the ring.", [0, 1], "Try and ."),
        ("Heat's fine, HEAT!", [4], "fine, !"),
        ("the heat is on, It rings", [0, 1, 3], "the heat is on, It rings"),
        ("dr strangelove, or how I learned to stop worrying?", [2], "?"),
        ("The The Ring Ring", [1], ""),
        ("watch 300", [5], "watch "),
        ("", [0], ""),
    ],
)
def test_refused_titles_are_cut(text: str, refused: list[int], left: str) -> None:
    assert without(text, *refused) == left


def test_a_word_that_was_named_is_a_title_in_lower_case() -> None:
    allowed = np.array([True, True, True, True, False, True])
    text = "heat, it's the heat"
    assert TITLES.without(text, allowed) == text
    assert TITLES.without(text, allowed, {0, 5}) == ", it's the "
    allowed[4] = True
    assert TITLES.without(text, allowed, {0}) == text


@given(
    st.lists(
        st.sampled_from(["Heat", "the", "ring", "The", "Ring", ",", ".", "it", "300", "x"])
    ).map(" ".join),
    st.sets(st.integers(0, 5)),
)
def test_what_is_left_names_nothing_refused_and_is_part_of_the_text(
    text: str, refused: set[int]
) -> None:
    left = without(text, *refused)
    assert without(left, *refused) == left
    rest = iter(text)
    assert all(character in rest for character in left)
    if not refused:
        assert left == text
    if 1 in refused:
        assert "the ring" not in left.lower()

from typing import Any

import polars as pl
import pytest

from rec_gen.catalog import Catalog
from rec_gen.reasons import LONGEST, Reason, Reasons


def reasons(titles: list[str], **columns: Any) -> Reasons:
    ids = [f"i{place}" for place in range(len(titles))]
    return Reasons(Catalog(pl.DataFrame({"item": ids, "title": titles, **columns})))


PLAIN = ["A1", "B2", "C3", "D4", "E5", "F6"]
"""Titles that share nothing."""


def test_the_rarest_that_is_shared_is_named() -> None:
    brands, colours = ["x", "x", "x", "y", "z", "z"], ["red", "red", *"pqrs"]
    found = reasons(PLAIN, brand=brands, colour=colours)
    assert found.find([2, 1], 0) == Reason("colour", "red", "B2")
    assert found.find([1, 2], 0) == Reason("colour", "red", "B2")
    assert found.find([2], 0) == Reason("brand", "x", "C3")
    assert found.find([3, 4, 5], 0) is None


def test_the_latest_that_shares_it_is_named() -> None:
    found = reasons(PLAIN, brand=["x", "x", "x", "y", "z", "z"])
    assert found.find([1, 3, 2, 4], 0) == Reason("brand", "x", "C3")
    assert found.find([2, 3, 1, 4], 0) == Reason("brand", "x", "B2")


def test_an_item_is_no_reason_for_itself() -> None:
    assert reasons(PLAIN, brand=[*"xxabcd"]).find([0, 0], 0) is None


def test_a_long_text_is_no_property() -> None:
    for length, shares in ((LONGEST, True), (LONGEST + 1, False)):
        text = "x" * length
        found = reasons(PLAIN, about=[text, text, *"abcd"]).find([1], 0)
        assert (found is not None) == shares


def test_what_most_items_have_tells_nothing() -> None:
    assert reasons(PLAIN, kind=["x"] * 4 + ["y"] * 2).find([1], 0) is None


@pytest.mark.parametrize(
    ("title", "other", "word"),
    [
        ("Cats and Dogs with Us", "Love and War with Them", None),
        ("The Amber Room", "amber!", "amber"),
        ("हिन्दी फिल्म", "फिल्म कथा", "फिल्म"),
        ("हिन्दी", "हिमालय", None),
        ("Zoe\u0308 one", "ZOË two", "zoë"),
    ],
)
def test_a_word_of_both_titles_is_shared(title: str, other: str, word: str | None) -> None:
    found = reasons([title, other, *PLAIN]).find([1], 0)
    assert (found and (found.field, found.value)) == (word and ("title", word))


@pytest.mark.parametrize(
    "kind", [pl.Categorical(), pl.Enum([*"abcdx"]), pl.String(), pl.List(pl.Categorical())]
)
def test_every_kind_of_text_column_is_read(kind: pl.DataType) -> None:
    values: list[Any] = [*"xxabcd"]
    if isinstance(kind, pl.List):
        values = [["a"], None, ["x", "b"], ["c"], ["d"], ["x"]]
    column = pl.Series("brand", values, dtype=kind)
    asked, other = (2, 5) if isinstance(kind, pl.List) else (0, 1)
    found = reasons(PLAIN, brand=column).find([other], asked)
    assert found == Reason("brand", "x", PLAIN[other])


def test_numbers_are_no_text() -> None:
    assert reasons(PLAIN, year=[1990, 1990, 1, 2, 3, 4]).find([1], 0) is None

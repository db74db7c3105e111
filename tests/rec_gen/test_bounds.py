"""Bounds and comparisons, and what negates them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.bounds import find_bounds
from tests.rec_gen.wordings import understood

HANKS = "'Tom Hanks' in actors"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("not cheaper", ["not (price < 5.0)"]),
        ("nothing longer", ["not (runtime > 115)"]),
        ("I don't want anything shorter", ["not (runtime < 106)"]),
        ("it doesn't have to be shorter", []),
        ("a movie that is not longer than the second one", ["not (runtime > 106)"]),
        ("I no longer want horror", ["not 'Horror' in genres"]),
        ("as I said earlier", []),
        ("my older brother likes these", []),
        ("something older", ["year < 1996"]),
        ("older than the third one", ["year < 1996"]),
        ("earlier", ["year < 1996"]),
        ("cheaper or shorter", ["price < 5.0 or runtime < 106"]),
        ("cheaper and shorter", ["price < 5.0", "runtime < 106"]),
        ("no horror and cheaper", ["not 'Horror' in genres", "price < 5.0"]),
        ("shorter than the second one and after 1990", ["year > 1990", "runtime < 106"]),
        ("shorter than Inception", ["runtime < 148"]),
    ],
)
def test_comparisons(message: str, expected: list[str]) -> None:
    assert understood(message) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("no movies from the 90s", ["not (1990 <= year < 2000)"]),
        ("nothing from the 90s", ["not (1990 <= year < 2000)"]),
        ("not from the 90s", ["not (1990 <= year < 2000)"]),
        ("something from the 90s", ["1990 <= year < 2000"]),
        ("in the '90s", ["1990 <= year < 2000"]),
        ("a 1980s film", ["1980 <= year < 1990"]),
        ("from the 2010's", ["2010 <= year < 2020"]),
        ("my brother in his 30s", []),
        ("under 1,000 dollars", ["price < 1000"]),
        ("under $19.99", ["price < 19.99"]),
        ("under $19.99.", ["price < 19.99"]),
        ("at most 1.5 hours", ["runtime <= 90"]),
        ("less than two hours", ["runtime < 120"]),
        ("under an hour and a half", ["runtime < 90"]),
        ("no longer than 2 hours", ["runtime <= 120"]),
        ("it doesn't have to be under 90 minutes", []),
        ("nothing over 2 hours", ["not (runtime > 120)"]),
        ("$20 or less", ["price <= 20"]),
        ("20 dollars or more", ["price >= 20"]),
        ("2 hours max", ["runtime <= 120"]),
        ("films before 1990 please", ["year < 1990"]),
        ("films before 1990", ["year < 1990"]),
        ("something after 1990 with Tom Hanks", ["'Tom Hanks' in actors", "year > 1990"]),
        ("after 1990 and under 100 minutes", ["year > 1990", "runtime < 100"]),
        ("from 1990 to 2000", ["1990 <= year <= 2000"]),
        ("between 1990 and 2000", ["1990 <= year <= 2000"]),
        ("not between 1990 and 2000", ["not (1990 <= year <= 2000)"]),
        ("between $5 and $7.50", ["5 <= price <= 7.5"]),
        ("between 90 and 120 minutes", ["90 <= runtime <= 120"]),
        ("from 1990 onwards", ["year >= 1990"]),
        ("from 1990", ["year == 1990"]),
        ("2000 or later", ["year >= 2000"]),
        ("under 50 people", []),
        ("comedies of the 1990s and 2000s", ["1990 <= year < 2000 or 2000 <= year < 2010"]),
        ("the 80s or 90s", ["1980 <= year < 1990 or 1990 <= year < 2000"]),
        ("not the 80s or 90s", ["not (1980 <= year < 1990)", "not (1990 <= year < 2000)"]),
        ("anything over 2 hours is too long", []),
        ("I am over 30", []),
        ("it costs over $6", []),
        ("I've been watching films since 1990", []),
        ("I was born before 1990", []),
        ("I have seen 3 films before 2000", []),
        ("before 1990 I was a child", []),
        ("is the second one longer than 2 hours?", []),
        ("is it longer than Heat?", []),
        ("nothing from before 1990", ["not (year < 1990)"]),
    ],
)
def test_bounds(message: str, expected: list[str]) -> None:
    assert sorted(understood(message)) == sorted(expected)


@given(
    st.sampled_from(["under", "less than", "at most", "over", "no more than", "at least"]),
    st.integers(0, 9_999_999), st.booleans(),
    st.sampled_from(["", " please", " with Tom Hanks", ", or so", " and funny"]),
)  # fmt: skip
def test_a_number_is_whole_whatever_follows(
    word: str, cents: int, grouped: bool, rest: str
) -> None:
    written = f"{cents / 100:,.2f}" if grouped else f"{cents / 100:.2f}"
    (bound,), words = find_bounds(f"{word} ${written}{rest}".lower())
    assert bound.quantity == "price"
    assert float(bound.test.split()[-1]) == cents / 100
    assert words.endswith(rest.lower())

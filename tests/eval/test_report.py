"""Numbers as people read them."""

import numpy as np
import pytest

from eval.intervals import Interval
from eval.report import format_interval, format_number, verdict


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        (10.5, False, "10.5000"),
        (-20.25, False, "\N{MINUS SIGN}20.2500"),
        (100.0, False, "100.0000"),
        (440.1318, True, "+440.1318"),
        (0.05, False, ".0500"),
        (-0.05, False, "\N{MINUS SIGN}.0500"),
        (0.05, True, "+.0500"),
        (-0.05, True, "\N{MINUS SIGN}.0500"),
        (0.0, False, ".0000"),
        (np.nan, True, ""),
    ],
)
def test_only_a_leading_zero_is_left_out(value: float, signed: bool, text: str) -> None:
    assert format_number(value, signed) == text


def test_an_interval_without_ends_is_a_number() -> None:
    assert format_interval(Interval(10.33, 0.5, 440.13)) == "10.3300 [.5000, 440.1300]"
    assert format_interval(Interval(0.5, np.nan, np.nan)) == ".5000"
    assert format_interval(Interval(np.nan, np.nan, np.nan)) == ""


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.001, 0.2, "better"),
        (-0.2, -0.001, "worse"),
        (-0.1, 0.1, "no difference shown"),
        (0.0, 0.1, "no difference shown"),
        (-0.1, 0.0, "no difference shown"),
    ],
)
def test_only_an_interval_that_leaves_out_zero_shows_a_difference(
    low: float, high: float, words: str
) -> None:
    assert verdict(Interval((low + high) / 2, low, high)) == words

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.catalog import Catalog
from rec_gen.errors import RuleError
from rec_gen.rules import eligible_items

SHOP = Catalog(
    pl.DataFrame(
        {
            "item": ["a", "b", "c", "d"],
            "title": ["Alien", "Brazil", "Casablanca", "Dune"],
            "price": [5.0, 20.0, None, 8.0],
            "category": ["Horror", "Comedy", "Drama", "Drama"],
            "genres": [["Horror", "SciFi"], ["Comedy"], [], ["SciFi"]],
            "in_stock": [True, False, True, None],
            "since": [date(2024, 1, 1), date(2024, 5, 31), None, date(2025, 1, 1)],
            "codes": pl.Series([[1, 2], [2, 3], [4, 4], [0, 0]], dtype=pl.Array(pl.Int64, 2)),
        }
    )
)


def passed(rule: str) -> str:
    mask = eligible_items(SHOP, rule)
    return "".join(item for item, kept in zip(SHOP.ids, mask, strict=True) if kept)


@pytest.mark.parametrize(
    ("rule", "items"),
    [
        ("price < 20", "ad"),
        ('price < 20 and category in {"Drama"}', "d"),
        ('category not in ["Drama", "Comedy"]', "a"),
        ("in_stock", "ac"),
        ("not in_stock", "b"),
        ('"SciFi" in genres and not "Horror" in genres', "d"),
        ("5 < price <= 20", "bd"),
        ("price * 2 + 1 > 16", "bd"),
        ('title == "Dune" or price == 5', "ad"),
        ('"li" in title', "a"),
        ("price > -1", "abd"),
        ("since >= '2024-05-31'", "bd"),
        ("'2024-02-01' > since", "a"),
        ("2 in codes", "ab"),
    ],
)
def test_a_rule_lets_items_through(rule: str, items: str) -> None:
    assert passed(rule) == items


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("", "cannot be read"),
        ("price <", "cannot be read"),
        ("prise < 5", "there is no column 'prise'; columns are item, title, price"),
        ("price", "instead of yes or no"),
        ("1 < 2", "names no column"),
        ('price < "x"', "rule"),
        ("price is 5", "is not allowed"),
        ("since > 5", "5 is no date; write it as '2024-05-31'"),
        ("since > 'May'", "'May' is no date"),
        ("__import__('os').system('true')", "is not allowed"),
        ("title.__class__", "is not allowed"),
        ("(lambda: 1)()", "is not allowed"),
        ("[x for x in genres]", "is not allowed"),
        ("price ** 99999999", "is not allowed"),
        ("item in {item}", "rule"),
    ],
)
def test_a_wrong_rule_is_one_line(rule: str, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        eligible_items(SHOP, rule)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="abcdeprisn_ <>=()[]{}'\"+-*/,.0123&|~:", max_size=40))
def test_any_text_is_a_rule_or_refused(rule: str) -> None:
    try:
        mask = eligible_items(SHOP, rule)
    except RuleError:
        return
    assert mask.shape == (4,)
    assert mask.dtype == bool


def test_nan_is_a_missing_value() -> None:
    frame = {"item": ["a", "b"], "title": ["A", "B"], "price": [float("nan"), 9.0]}
    catalog = Catalog(pl.DataFrame(frame))
    for rule in ("price > 5", "not price < 5", "price != 5", "price + 1 > 5"):
        assert eligible_items(catalog, rule).tolist() == [False, True]


def test_a_text_between_conditions_is_no_column() -> None:
    with pytest.raises(RuleError):
        eligible_items(SHOP, "'in_stock' and price > 0")


def test_a_very_long_rule_is_read_soon() -> None:
    assert passed(" or ".join(f"price == {price}" for price in range(2000))) == "abd"


def test_a_very_deep_rule_is_one_line() -> None:
    with pytest.raises(RuleError, match="is nested too deeply"):
        eligible_items(SHOP, "price" + " + 1" * 970 + " > 0")

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.catalog import Catalog
from rec_gen.mentions import split_mentions
from rec_gen.text import clean_text

TITLES = ["Alien (1979)", "Aliens (1986)", "Alien 3 (1992)", "Iliad (-750)", "Her (2013)", "(1999)"]
NAMES = ["Alien", "Aliens", "Alien 3", "Iliad", "Her", ""]
CATALOG = Catalog(pl.DataFrame({"item": [f"i{n}" for n in range(6)], "title": TITLES}))
ALL = range(len(TITLES))


@pytest.mark.parametrize(
    ("text", "items", "pieces"),
    [
        ("Try Alien, or Aliens.", ALL, ["Try ", 0, ", or ", 1, "."]),
        ("Alien 3 then Alien", ALL, [2, " then ", 0]),
        ("Alien 3", [0], [0, " 3"]),
        ("Aliens and Alienation", [0], ["Aliens and Alienation"]),
        ("I love ALIEN", ALL, ["I love ", 0]),
        ("Watch Her with her", ALL, ["Watch ", 4, " with her"]),
        ("the iliad", [3], ["the ", 3]),
        ("Alien", [], ["Alien"]),
        ("  Alien \n ", [0], [0]),
        ("", ALL, []),
    ],
)
def test_titles_are_split_from_what_is_around_them(
    text: str, items: list[int], pieces: list[str | int]
) -> None:
    assert list(split_mentions(text, CATALOG, items)) == pieces


def test_of_equal_titles_the_first_that_is_looked_for_counts() -> None:
    twins = Catalog(pl.DataFrame({"item": ["a", "b"], "title": ["Emma (1996)", "Emma (2020)"]}))
    assert list(split_mentions("Emma", twins, [1, 0])) == [1]
    assert list(split_mentions("Emma", twins, [0, 1])) == [0]


@given(st.lists(st.sampled_from([*NAMES, "alien", "x", " ", ", ", "(1979)", "\ue000"])), st.data())
def test_pieces_make_the_text_again(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    items = data.draw(st.lists(st.sampled_from(list(ALL)), unique=True))
    pieces = list(split_mentions(text, CATALOG, items))
    whole = "".join(piece if isinstance(piece, str) else NAMES[piece] for piece in pieces)
    assert whole.lower() == clean_text(text).lower()
    assert "" not in pieces
    assert {piece for piece in pieces if isinstance(piece, int)} <= set(items)

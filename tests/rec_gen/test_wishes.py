"""What messages state, and that what is understood is kept."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.catalog import Catalog
from rec_gen.keeping import filters
from rec_gen.listener import Listener
from rec_gen.rules import eligible_items
from rec_gen.wishes import Wish

FILMS = Catalog(
    pl.DataFrame(
        {
            "item": ["m1", "m2", "m3", "m4", "m5"],
            "title": ["Heat (1995)", "The Ring (2002)", "Up (2009)", "Big (1988)", "Signs (2002)"],
            "year": [1995, 2002, 2009, 1988, 2002],
            "runtime": [170, 115, 96, 104, 106],
            "genres": [
                ["Crime", "Drama"],
                ["Horror"],
                ["Animation", "Comedy"],
                ["Comedy", "Drama"],
                ["Science Fiction", "Drama"],
            ],
            "studio": ["Warner", "DreamWorks", "Pixar", "Fox", "Touchstone"],
        }
    )
)
GOODS = Catalog(
    pl.DataFrame(
        {
            "item": ["a", "b", "c"],
            "title": ["Kettle", "Pan", "Knife"],
            "price": [20.0, 35.5, 12.0],
            "brand": ["Acme", "Best Kitchen", "Acme"],
        }
    )
)
ALL = set(FILMS.ids)


def left(wishes: list[Wish], catalog: Catalog = FILMS) -> set[str]:
    """The items that pass."""
    kept = filters(wishes)
    passed = set(catalog.ids) - set(kept.block)
    if kept.where:
        eligible = eligible_items(catalog, kept.where)
        passed &= {item for item, one in zip(catalog.ids, eligible, strict=True) if one}
    return passed


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("something good please", ALL),
        ("I like horror", ALL),
        ("not horror", ALL - {"m2"}),
        ("No horror, please!", ALL - {"m2"}),
        ("I don't want dramas", {"m2", "m3"}),
        ("anything but comedies", {"m1", "m2", "m5"}),
        ("not horror and not science fiction", {"m1", "m3", "m4"}),
        ("no horror but a comedy would be nice", ALL - {"m2"}),
        ("I want a comedy", {"m3", "m4"}),
        ("show me a comedy drama", {"m4"}),
        ("I need a horror or a crime film", {"m1", "m2"}),
        ("something from the 90s", {"m1"}),
        ("nothing from before 1990", ALL - {"m4"}),
        ("only after 2000", {"m2", "m3", "m5"}),
        ("a film under 100 minutes", {"m3"}),
        ("less than 2 hours please", {"m2", "m3", "m4", "m5"}),
        ("I want something by Pixar", {"m3"}),
        ("without DreamWorks", ALL - {"m2"}),
        ("not Heat again", ALL - {"m1"}),
        ("I have seen Heat and Signs", ALL - {"m1", "m5"}),
        ("I liked Heat. Something else", ALL - {"m1"}),
        ("something else like Heat", ALL - {"m1"}),
    ],
)
def test_messages(message: str, expected: set[str]) -> None:
    assert left(Listener(FILMS).hear(message)) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("seen it", ALL - {"m1"}),
        ("I've already seen those", ALL - {"m1", "m2", "m3"}),
        ("I saw the second one", ALL - {"m2"}),
        ("not that one", ALL - {"m1"}),
        ("something else?", ALL - {"m1", "m2", "m3"}),
        ("like the second one, but shorter", {"m3", "m4", "m5"}),
        ("shorter", set()),
        ("older than the third one", {"m1", "m2", "m4", "m5"}),
    ],
)
def test_what_was_shown_is_referred_to(message: str, expected: set[str]) -> None:
    assert left(Listener(FILMS).hear(message, ["m1", "m2", "m3"])) == expected


def test_names_of_any_length_are_whole_and_equal_ones_all_meant() -> None:
    titles = [
        "Sing, but Not (1990)",
        "Sing, but Not",
        "A Very Long Title of Eight Words Or So",
        "Ox",
    ]
    catalog = Catalog(pl.DataFrame({"item": list("abcd"), "title": titles}))
    listener = Listener(catalog)
    assert left(listener.hear("I have seen Sing, but Not"), catalog) == {"c", "d"}
    assert left(listener.hear("not a very long title of eight words or so"), catalog) == set("abd")
    assert listener.refer("the second or Ox, or the last two", ["a", "b", "c"]) == ["b", "d", "c"]


def test_a_name_in_several_columns_may_be_in_any() -> None:
    people = {"actor": [["Jo Ray"], [], ["Al Fox"]], "director": [[], ["Jo Ray"], ["Al Fox"]]}
    items = {"item": list("abc"), "title": ["One A", "Two B", "Three C"]}
    catalog = Catalog(pl.DataFrame({**items, **people}))
    listener = Listener(catalog)
    assert left(listener.hear("something with Jo Ray"), catalog) == {"a", "b"}
    assert left(listener.hear("nothing with Jo Ray"), catalog) == {"c"}
    assert left(listener.hear("something with Jo Ray and Al Fox"), catalog) == set()
    assert left(listener.hear("something with Jo Ray or Al Fox"), catalog) == set("abc")


def test_a_title_that_is_a_value_too_is_meant_where_it_was_seen() -> None:
    titles = {"item": list("ab"), "title": ["Comedy", "Gulliver\u2019s Day"]}
    catalog = Catalog(pl.DataFrame({**titles, "genre": ["Drama", "Comedy"]}))
    listener = Listener(catalog)
    assert left(listener.hear("I have seen Comedy"), catalog) == {"b"}
    assert left(listener.hear("no comedy"), catalog) == {"a"}
    assert left(listener.hear("I want a comedy"), catalog) == {"b"}
    assert left(listener.hear("not gulliver's day"), catalog) == {"a"}
    assert listener.refer("a comedy") == []


def test_what_refers_to_nothing_is_told() -> None:
    (one,) = Listener(FILMS).hear("I've seen it!")
    assert one.problem == "it? Nothing was recommended yet"
    (two,) = Listener(FILMS).hear("not that one")
    assert two.problem == "that? Nothing was recommended yet"
    assert not Listener(FILMS).hear("I know that you can do it, I have the time")


def test_a_place_that_nothing_has_is_told() -> None:
    (one,) = Listener(FILMS).hear("I've seen the fourth one", ["m1", "m2"])
    assert one.problem == "the fourth one is not among the last items"
    assert left(Listener(FILMS).hear("seen the first two", ["m1", "m2", "m3"])) == ALL - {
        "m1",
        "m2",
    }


def test_prices() -> None:
    listener = Listener(GOODS)
    assert left(listener.hear("under $25"), GOODS) == {"a", "c"}
    assert left(listener.hear("at most 20 euros"), GOODS) == {"a", "c"}
    assert left(listener.hear("cheaper", ["a", "b"]), GOODS) == {"c"}
    assert left(listener.hear("cheaper than 30"), GOODS) == {"a", "c"}
    assert left(listener.hear("no Best Kitchen"), GOODS) == {"a", "c"}


def test_what_cannot_be_kept_is_told() -> None:
    (one,) = Listener(FILMS).hear("cheaper", ["m1"])
    assert one.problem == "no column of the catalog holds a price"
    (two,) = Listener(FILMS).hear("shorter")
    assert two.problem == "shorter than what? Nothing was recommended yet"
    assert left([one, two]) == ALL


def test_an_earlier_wish_is_lifted_and_can_come_back() -> None:
    listener = Listener(FILMS)
    wishes = listener.hear("no horror")
    assert left(wishes) == ALL - {"m2"}
    wishes += listener.hear("actually, horror is fine")
    assert left(wishes) == ALL
    wishes += listener.hear("no horror after all")
    assert left(wishes) == ALL - {"m2"}


def test_the_words_stand_beside_what_was_understood() -> None:
    (wish,) = Listener(FILMS).hear("Hello! No Horror, thanks.")
    assert (wish.said, wish.rule) == ("No Horror", "not 'Horror' in genres")


@given(st.text(max_size=200), st.lists(st.sampled_from(FILMS.ids), max_size=3, unique=True))
def test_no_message_breaks_it_and_every_rule_can_be_read(message: str, shown: list[str]) -> None:
    wishes = Listener(FILMS).hear(message, shown)
    assert left(wishes) <= ALL


WORDS = """not no horror comedy dramas heat under 100 minutes $ 20 seen it the second one cheaper
shorter newer 1990s from the after 2000 only is fine , . but anything else those pixar"""
words = st.sampled_from(WORDS.split())


@given(st.lists(words, max_size=15).map(" ".join), st.permutations(FILMS.ids))
def test_no_mix_of_known_words_breaks_it(message: str, shown: list[str]) -> None:
    left(Listener(FILMS).hear(message, shown[:3]))

"""What a dialogue leaves in mind."""

import polars as pl
import pytest

from rec_gen.catalog import Catalog
from rec_gen.hearing import Heard, hear
from rec_gen.keeping import filters
from rec_gen.listener import Listener
from rec_gen.replying import Turn
from rec_gen.wishes import Wish
from tests.rec_gen.test_wishes import FILMS
from tests.rec_gen.wordings import heard as heard_traps

LISTENER = Listener(FILMS)


def heard(*turns: Turn, ignore: tuple[str, ...] = ()) -> Heard:
    return hear(LISTENER, turns, ignore)


def user(text: str) -> Turn:
    return Turn("user", text)


def bot(*items: str) -> Turn:
    return Turn("assistant", "Here.", items)


def test_words_refer_to_what_was_shown_before_them() -> None:
    dialogue = heard(bot("m1", "m2"), user("seen the first one"), bot("m3"), user("seen it"))
    assert [wish.block for wish in dialogue.wishes] == [("m1",), ("m3",)]
    assert dialogue.shown == ("m3",)
    assert [wish.said for wish in dialogue.latest] == ["seen it"]


def test_what_was_named_becomes_entities_the_latest_last() -> None:
    dialogue = heard(user("A drama like Heat?"), bot("m2", "m5"), user("like the first one"))
    assert dialogue.dialogue.entities == ("Drama", "Heat", "The Ring", "Signs", "The Ring")
    assert dialogue.named == ("m1", "m5", "m2")
    assert dialogue.chosen == ("m1",)
    assert dialogue.dialogue.utterances == ("A drama like Heat?", "Here.", "like the first one")


def test_an_assistant_without_items_leaves_what_was_shown() -> None:
    dialogue = heard(bot("m1"), Turn("assistant", "Nothing is left."), user("seen it"))
    assert dialogue.wishes[0].block == ("m1",)


def test_what_is_asked_for_may_come_again() -> None:
    for text, again in (
        ("the second one, please", {"m2"}),
        ("I'd like the second one", {"m2"}),
        ("tell me about Heat", {"m1"}),
        ("something like the second one", set()),
        ("shorter than the second one", set()),
        ("not the second one", set()),
        ("more", set()),
    ):
        assert {"m1", "m2"} - set(heard(bot("m1", "m2"), user(text)).recommended) == again, text


def test_a_question_is_no_wish_and_what_stands_beside_it_is() -> None:
    dialogue = heard(bot("m1", "m2"), user("Which is shorter? No horror. And why, but not Pixar"))
    assert [wish.rule for wish in dialogue.wishes] == [
        "not 'Horror' in genres",
        "not studio == 'Pixar'",
    ]
    assert heard(user("No horror"), ignore=("other",)).wishes[0].rule == "not 'Horror' in genres"
    assert not heard(user("no horror"), ignore=("no horror",)).wishes


@pytest.mark.parametrize("question", ["why the last one?", "compare the last two"])
def test_an_answer_to_a_question_does_not_move_the_places(question: str) -> None:
    turns = [bot("m1", "m2", "m3"), user(question), bot("m3", "m2"), user("not the second one")]
    dialogue = heard(*turns)
    assert dialogue.wishes[-1].block == ("m2",)
    assert dialogue.shown == ("m1", "m2", "m3")
    assert heard(user("why?"), bot("m3", "m2"), user("not the second one")).shown == ("m3", "m2")


COMEDY = "'Comedy' in genres"


@pytest.mark.parametrize(
    ("messages", "rules", "lifts"),
    [
        (
            ["I want a comedy", "I do not want a comedy any more"],
            [f"not {COMEDY}"],
            [COMEDY],
        ),
        (["no comedy", "show me a comedy"], [COMEDY], [f"not {COMEDY}"]),
        (
            ["I want a comedy", "show me a thriller instead"],
            ["'Thriller' in genres"],
            [COMEDY],
        ),
        (
            ["I want a comedy", "a thriller with Tom Hanks instead of a comedy"],
            ["'Tom Hanks' in actors", f"not {COMEDY}"],
            [COMEDY],
        ),
        (["under $5", "under $20 instead"], ["price < 20"], ["price < 5"]),
        (["under $5", "under $20"], ["price < 5", "price < 20"], []),
        (
            ["I want a comedy or a drama", "no comedy"],
            [f"{COMEDY} or 'Drama' in genres", f"not {COMEDY}"],
            [],
        ),
        (["I want a comedy with Tom Hanks", "no comedy"],
         ["'Tom Hanks' in actors", f"not {COMEDY}"], [COMEDY]),
        (["no horror", "horror is fine"], [], ["not 'Horror' in genres"]),
        (["no drama", "I want a comedy instead"], ["not 'Drama' in genres", COMEDY], []),
    ],
)  # fmt: skip
def test_a_later_wish_lifts_what_it_contradicts(
    messages: list[str], rules: list[str], lifts: list[str]
) -> None:
    wishes = heard_traps(*messages).wishes
    assert sorted(wish.rule for wish in wishes if wish.rule) == sorted(rules)
    assert [wish.lifts for wish in wishes if wish.lifts] == lifts
    assert (filters(wishes).where or "").count("(") == len(rules)


def test_a_blocked_title_that_is_asked_for_may_come_back() -> None:
    dialogue = heard_traps("not Inception or Signs", "recommend Inception")
    assert dialogue.wishes == (
        Wish("not Inception or Signs", block=("signs",)),
        Wish("recommend Inception", lifts="not Inception"),
    )
    assert dialogue.latest == dialogue.wishes[1:]
    assert heard_traps("not Inception", "something like Inception").wishes[0].block
    ignored = heard_traps("not Inception", "recommend Inception", ignore=("recommend Inception",))
    assert [wish.block for wish in ignored.wishes] == [("inception",)]


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        ((), 3),
        (("no horror",), 0),
        (("1: no horror",), 2),
        (("3: no horror",), 1),
        (("4: no horror",), 0),
        (("9" * 5000 + ": no horror",), 3),
        (("1: no horrors",), 3),
    ],
)
def test_a_wish_can_be_ignored_up_to_a_message(ignore: tuple[str, ...], left: int) -> None:
    said = ("no horror", "hi", "no horror", "no horror")
    assert len(heard_traps(*said, ignore=ignore).wishes) == left


def test_a_column_that_no_rule_can_name_is_not_heard() -> None:
    kinds = {
        "class": ["mammal", "bird", "bird"],
        "home": ["ocean", "forest", "ocean"],
        "\u00b5g": ["huge", "small", "small"],  # a micro sign, which Python reads as a Greek letter
    }
    animals = pl.DataFrame({"item": ["a", "b", "c"], "title": ["Whale", "Owl", "Gull"], **kinds})
    said = [user(f"no {word} please") for word in ("mammal", "huge", "ocean")]
    dialogue = hear(Listener(Catalog(animals)), said, ())
    assert [wish.rule for wish in dialogue.wishes] == ["not home == 'ocean'"]

"""What a dialogue leaves in mind."""

from rec_gen.hearing import Heard, hear
from rec_gen.listener import Listener
from rec_gen.replying import Turn
from tests.rec_gen.test_wishes import FILMS

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
    assert (
        heard(user("why no horror"), ignore=("other",)).wishes[0].rule == "not 'Horror' in genres"
    )
    assert not heard(user("no horror"), ignore=("no horror",)).wishes

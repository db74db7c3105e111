"""Which messages ask about items, and about which."""

import pytest

from rec_gen.listener import Listener
from rec_gen.questions import compare, find_question
from tests.rec_gen.test_wishes import FILMS
from tests.rec_gen.wordings import LISTENER as TRAPPED
from tests.rec_gen.wordings import SHOWN as SHOWN_TRAPS
from tests.rec_gen.wordings import understood

LISTENER = Listener(FILMS)
SHOWN = ("m2", "m3", "m4")


@pytest.mark.parametrize(
    ("message", "kind", "items", "word"),
    [
        ("Compare the first two", "compare", ("m2", "m3"), ""),
        ("compare them please", "compare", SHOWN, ""),
        ("compare the first and the last one", "compare", ("m2", "m4"), ""),
        ("What is the difference between Heat and Signs?", "compare", ("m1", "m5"), ""),
        ("Heat vs The Ring", "compare", ("m1", "m2"), ""),
        ("which one is the newest?", "compare", SHOWN, "newer"),
        ("Nice. Which is shorter, Heat or Signs?", "compare", ("m1", "m5"), "shorter"),
        ("compare Heat", "compare", ("m1",), ""),
        ("Why?", "why", SHOWN, ""),
        ("ok, and why the third one", "why", ("m4",), ""),
        ("but why Heat?", "why", ("m1",), ""),
    ],
)
def test_questions(message: str, kind: str, items: tuple[str, ...], word: str) -> None:
    question = find_question(LISTENER, message, SHOWN)
    assert question is not None
    assert (question.kind, question.items, question.word) == (kind, items, word)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "no horror",
        "why not a comedy?",
        "why no dramas?",
        "something shorter",
        "I know why",
        "the",
        "how are you versus yesterday?",
        "recommend Freddy vs. Jason",
        "compare prices",
        "I know the difference between good and bad",
    ],
)
def test_wishes_are_no_questions(message: str) -> None:
    assert find_question(LISTENER, message, SHOWN) is None


def test_equal_and_unknown_values_are_told() -> None:
    frame = FILMS.frame.with_columns(year=FILMS.frame["year"].replace(1995, None))
    listener = Listener(type(FILMS)(frame))
    items = [listener.catalog[place] for place in (0, 1, 4)]
    assert compare(listener, items, "newer").text == (
        "The newer first: The Ring (2002) (year 2002), Signs (2002) (year 2002), "
        "Heat (1995) (year not known)."
    )
    same = compare(listener, [items[0], items[0]], "")
    assert same.text == "The catalog tells no difference between them."


@pytest.mark.parametrize(
    ("message", "kind", "expected"),
    [
        ("I have seen Freddy vs. Jason", None, ["-vs"]),
        ("recommend Freddy vs. Jason", None, []),
        (
            "I loved Scott Pilgrim vs. the World. Recommend a comedy",
            None,
            ["'Comedy' in genres"],
        ),
        ("which one is the shortest without horror?", "compare", ["not 'Horror' in genres"]),
        ("compare the first two without horror", "compare", ["not 'Horror' in genres"]),
        (
            "why do you show me horror when I said no horror",
            "why",
            ["not 'Horror' in genres"],
        ),
        ("why do you always show me horror", None, []),
        ("Freddy vs. Jason versus Inception", "compare", []),
        ("which is shorter?", "compare", []),
    ],
)
def test_a_question_loses_no_wish(message: str, kind: str | None, expected: list[str]) -> None:
    question = find_question(TRAPPED, message, SHOWN_TRAPS)
    assert (question.kind if question else None) == kind
    assert understood(message) == expected

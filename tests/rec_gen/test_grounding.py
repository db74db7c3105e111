"""An explanation may cite what its item and the history hold, and nothing else."""

import pytest

from rec_gen.errors import GroundingError
from rec_gen.grounding import check_explanation, ungrounded
from rec_gen.lexicon import Lexicon
from rec_gen.reasons import Reasons
from tests.rec_gen.test_wishes import FILMS

LEXICON = Lexicon(FILMS)
HEAT, RING, UP, BIG, SIGNS = FILMS


def cited(text: str) -> list[str]:
    return [text[one.start : one.end] for one in ungrounded(LEXICON, text, BIG, [HEAT])]


@pytest.mark.parametrize(
    ("text", "false"),
    [
        ("It shares Drama (genres) with Heat.", []),
        ("Big is a comedy by Fox, and you liked the crime of Heat (1995).", []),
        ("It shares Horror (genres) with Heat.", ["Horror"]),
        ("Because you liked THE RING and Signs.", ["THE RING", "Signs"]),
        ("Pixar\u2019s dramas", ["Pixar"]),
        ("made by Pixar", ["Pixar"]),
        ("ring the bell", []),
        ("", []),
    ],
)
def test_false_citations_are_found(text: str, false: list[str]) -> None:
    assert cited(text) == false


def test_a_false_citation_is_refused_by_name() -> None:
    check_explanation(LEXICON, "It shares Comedy (genres) with Up.", BIG, [UP])
    with pytest.raises(
        GroundingError, match="item 'm4': its explanation cites 'Pixar', the column"
    ):
        check_explanation(LEXICON, "It is by Pixar, as Heat is.", BIG, [HEAT])
    with pytest.raises(GroundingError, match="cites 'Signs', the title of neither"):
        check_explanation(LEXICON, "As Signs is.", BIG, [HEAT])


def test_every_true_reason_is_grounded() -> None:
    reasons, items = Reasons(FILMS), list(FILMS)
    told = 0
    for place, item in enumerate(items):
        for reason in reasons.all(range(len(items)), place):
            text = f"It shares {reason.value} ({reason.field}) with {reason.title}."
            assert not ungrounded(LEXICON, text, item, items)
            told += 1
    assert told

"""Which items an assistant's message names where it does not say."""

from dataclasses import dataclass

import polars as pl
import pytest

from rec_gen.catalog import Catalog
from rec_gen.names import Names
from rec_gen.replying import Turn
from serving.dialogues import turns_of
from tests.rec_gen.wordings import TRAPS


@dataclass(frozen=True)
class Message:
    role: str
    text: str
    items: list[str] | None = None


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("Try Heat (1995) and Signs (2002).", ("heat95", "signs")),
        ("Try Heat.", ("heat86", "heat95")),
        ("Mind the big signs.", ()),
        ("How about scott pilgrim vs. the world?", ("world",)),
    ],
)
def test_titles_in_a_text_are_its_items(text: str, items: tuple[str, ...]) -> None:
    (turn,) = turns_of(Names(TRAPS), [Message("assistant", text)])
    assert turn == Turn("assistant", text, items)


def test_items_that_are_told_count_and_other_roles_do_not() -> None:
    said = [Message("system", "x"), Message("user", "Heat"), Message("assistant", "Heat", ["big"])]
    assert turns_of(Names(TRAPS), said) == (
        Turn("user", "Heat"),
        Turn("assistant", "Heat", ("big",)),
    )


def test_an_apostrophe_may_be_curly() -> None:
    titles = pl.DataFrame({"item": ["a"], "title": ["Gulliver's Day"]})
    (turn,) = turns_of(Names(Catalog(titles)), [Message("assistant", "Try Gulliver\u2019s Day.")])
    assert turn.items == ("a",)

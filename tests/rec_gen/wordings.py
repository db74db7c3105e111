"""A catalog whose titles hold words of wishes, and what is understood of a message about it."""

import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.hearing import Heard, hear
from rec_gen.listener import Listener
from rec_gen.replying import Turn

TRAPS = Catalog(
    pl.DataFrame(
        {
            "item": ["old", "big", "signs", "heat86", "heat95", "vs", "world", "scream", "ring",
                     "inception"],
            "title": ["No Country for Old Men (2007)", "Big (1988)", "Signs (2002)", "Heat (1986)",
                      "Heat (1995)", "Freddy vs. Jason (2003)",
                      "Scott Pilgrim vs. the World (2010)", "Scream (1996)", "The Ring (2002)",
                      "Inception (2010)"],
            "year": [2007, 1988, 2002, 1986, 1995, 2003, 2010, 1996, 2002, 2010],
            "runtime": [122, 104, 106, 101, 170, 97, 112, 111, 115, 148],
            "price": [9.5, 4.0, 5.0, 3.0, 8.0, 6.0, 7.0, 5.5, 6.5, 9.0],
            "genres": [["Crime"], ["Comedy"], ["Drama"], ["Crime"], ["Crime", "Drama"], ["Horror"],
                       ["Comedy"], ["Horror"], ["Horror"], ["Thriller"]],
            "actors": [["Tommy Lee Jones"], ["Tom Hanks"], ["Mel Gibson"], ["Burt Reynolds"],
                       ["Al Pacino"], ["Robert Englund"], ["Michael Cera"], ["Neve Campbell"],
                       ["Naomi Watts"], ["Brad Pitt"]],
        }
    )
)  # fmt: skip
LISTENER = Listener(TRAPS)
SHOWN = ("ring", "signs", "scream")
"""What was recommended before a message: 115, 106 and 111 minutes, 6.5, 5 and 5.5 each."""


def understood(message: str, shown: tuple[str, ...] = SHOWN) -> list[str]:
    """The rules of a message, `-` and an item that is blocked, `+` and what is lifted, `!`."""
    told: list[str] = []
    for wish in heard(message, shown=shown).latest:
        told += [wish.rule] if wish.rule else []
        told += [f"-{item}" for item in wish.block]
        told += [f"+{wish.lifts}"] if wish.lifts else []
        told += ["!"] if wish.problem else []
    return told


def heard(*messages: str, shown: tuple[str, ...] = SHOWN, ignore: tuple[str, ...] = ()) -> Heard:
    """A dialogue in which items were shown once, before the first message."""
    first = [Turn("assistant", "Here.", shown)] if shown else []
    turns = [*first, *(Turn("user", message) for message in messages)]
    return hear(LISTENER, turns, ignore)

"""What a conversation is made of: turns, and replies that name items of the catalog."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from rec_gen.catalog import Item
from rec_gen.errors import DataError
from rec_gen.index import Filters
from rec_gen.text import clean_text, clean_words
from rec_gen.wishes import Wish

Role = Literal["user", "assistant"]
MOST_QUOTED = 3


@dataclass(frozen=True)
class Turn:
    """What one side said.

    Attributes:
        role: Who.
        text: The words.
        items: The ids of the items that an assistant's turn named, in order.

    Raises:
        DataError: The role is another one.
    """

    role: Role
    text: str
    items: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.role not in get_args(Role):
            raise DataError(f"a turn's role is {self.role!r}: give user or assistant")


@dataclass(frozen=True)
class Mentioned:
    """An item that a reply names.

    Attributes:
        item: The item.
        score: Its log-probability where the reply named it; 0 where no model chose it.
        start: Where its title begins in the text, in characters.
        stop: Where its title ends.
    """

    item: Item
    score: float
    start: int
    stop: int


@dataclass(frozen=True)
class Reply:
    """What is said to a message.

    Attributes:
        text: The words, titles included.
        items: The items that it names, in order.
        understood: The wishes that hold, of the whole dialogue, oldest first, and those that cannot
            be kept, with their `problem`.
        filters: What could be recommended.
        version: Of the catalog.
        prompt_tokens: What the model read; 0 where it was not asked.
        answer_tokens: What the model wrote.
    """

    text: str
    items: tuple[Mentioned, ...]
    understood: tuple[Wish, ...]
    filters: Filters
    version: int
    prompt_tokens: int = 0
    answer_tokens: int = 0


class Draft:
    """A text and the places of the items in it, as both grow."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.items: list[Mentioned] = []

    def say(self, text: str) -> "Draft":
        """Add words."""
        self.text += text
        return self

    def name(self, item: Item, score: float = 0.0) -> "Draft":
        """Add the title of an item."""
        start = len(self.text)
        self.text += clean_text(item.title)
        self.items.append(Mentioned(item, score, start, len(self.text)))
        return self


def quoted(wishes: Sequence[Wish]) -> str:
    """The words of the first few wishes, without markup, for a sentence about them."""
    words = list(dict.fromkeys(clean_words(wish.said).strip() for wish in wishes))
    more = [f"{len(words) - MOST_QUOTED} more"] if len(words) > MOST_QUOTED else []
    return ", ".join([*(f"\u201c{said}\u201d" for said in words[:MOST_QUOTED]), *more])

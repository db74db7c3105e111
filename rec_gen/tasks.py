"""The kinds of question that one model learns to answer, and what a template knows of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Task:
    """One kind of question.

    Attributes:
        reads: The names that a prompt may read.
        answer: The name that the text of an answer is made of; None where the answer is an item,
            which is always written by its exact spelling.
        also: Further names that a prompt may read and need not.
    """

    reads: tuple[str, ...]
    answer: str | None = None
    also: tuple[str, ...] = ()


MAIN = "next_item"
"""The task of a history of items."""
CONVERSATION = "conversation"
"""The task of a dialogue that comes to a recommendation."""
REPLY = "reply"
"""The task of a dialogue that is answered in words, with the items among them marked."""
FIRST = (MAIN, CONVERSATION)
"""What a recipe's own prompt may be for; its ranking chooses the best step."""

TASKS: Mapping[str, Task] = MappingProxyType(
    {
        MAIN: Task(("history",), also=("profile", "examples")),
        CONVERSATION: Task(("dialogue",), also=("history", "named", "linked")),
        "item_from_title": Task(("title",)),
        "title_of_item": Task(("item",), "title"),
        "search": Task(("request",)),
        "rating": Task(("history", "item"), "liked", also=("profile",)),
        "explanation": Task(("history", "item"), "reason"),
        REPLY: Task(("dialogue",), "reply", also=("history", "named", "linked")),
    }
)

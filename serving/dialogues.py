"""Messages as clients send them, as turns of a dialogue."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from rec_gen.names import Names
from rec_gen.replying import Turn


class Message(Protocol):
    """What somebody said."""

    @property
    def role(self) -> str:
        """Who; only users and assistants are heard."""

    @property
    def text(self) -> str:
        """The words."""

    @property
    def items(self) -> Sequence[str] | None:
        """The ids of the items that the words name, where that is known."""


def turns_of(names: Names, messages: Iterable[Message]) -> tuple[Turn, ...]:
    """The turns of users and assistants.

    Where an assistant's message does not say which items it names, titles in its text are heard.

    Args:
        names: Of the items as they are now.
        messages: Oldest first.
    """
    return tuple(_turns(names, messages))


def _turns(names: Names, messages: Iterable[Message]) -> Iterator[Turn]:
    for message in messages:
        if message.role == "user":
            yield Turn("user", message.text)
        elif message.role == "assistant":
            named = message.items
            if named is None:
                found = names.listener.lexicon.hear(message.text)
                named = [one.item for one in found if one.item is not None]
            yield Turn("assistant", message.text, tuple(dict.fromkeys(named)))

"""Messages as clients send them, as turns of a dialogue."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from rec_gen.masking import Masker, Spans
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


def turns_of(
    names: Names, messages: Iterable[Message], masker: Masker | None = None
) -> tuple[Turn, ...]:
    """The turns of users and assistants.

    Where an assistant's message does not say which items it names, titles in its text are heard.

    Args:
        names: Of the items as they are now.
        messages: Oldest first.
        masker: What takes personal data out of the words.
    """
    return tuple(_turns(names, messages, masker))


def masked_words(names: Names, words: str, masker: Masker | None) -> str:
    """Words without personal data; titles of the catalog stay, whatever they look like."""
    if masker is None:
        return words

    def titles(text: str) -> Spans:
        heard = names.listener.lexicon.hear(text)
        return [(one.start, one.end) for one in heard if one.item is not None]

    return masker.mask(words, titles).text


def _turns(names: Names, messages: Iterable[Message], masker: Masker | None) -> Iterator[Turn]:
    for message in messages:
        if message.role == "user":
            yield Turn("user", masked_words(names, message.text, masker))
        elif message.role == "assistant":
            named = message.items
            if named is None:
                found = names.listener.lexicon.hear(message.text)
                named = [one.item for one in found if one.item is not None]
            words = masked_words(names, message.text, masker)
            yield Turn("assistant", words, tuple(dict.fromkeys(named)))

"""What is known after a dialogue: wishes, what was shown, what was named."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import regex

from rec_gen.data.dataset import Dialogue
from rec_gen.lexicon import name_of, plain
from rec_gen.listener import Listener
from rec_gen.questions import asks
from rec_gen.replying import Turn
from rec_gen.wishes import Wish

_LIKENESS = regex.compile(r"(?<!'d |would )\blike\b|\b(?:than|similar|not|seen|saw)\b")


@dataclass(frozen=True)
class Heard:
    """A dialogue as it was understood.

    Attributes:
        wishes: Of all messages, oldest first.
        latest: Those of the last message.
        shown: Ids of the items that were recommended last, best first.
        recommended: Ids of all that were recommended and that the last message does not ask for.
        named: Ids of the items that either side named, the latest last.
        chosen: Ids of those that the user named by title in no question; refused ones too.
        dialogue: What a prompt can tell of it.
    """

    wishes: tuple[Wish, ...]
    latest: tuple[Wish, ...]
    shown: tuple[str, ...]
    recommended: tuple[str, ...]
    named: tuple[str, ...]
    chosen: tuple[str, ...]
    dialogue: Dialogue


def hear(listener: Listener, turns: Sequence[Turn], ignore: Collection[str] = ()) -> Heard:
    """Hear each message with the items in mind that were recommended before it.

    Args:
        listener: Of the catalog.
        turns: Oldest first, the last one a user's.
        ignore: The words of wishes that do not hold, see `Wish.said`.
    """
    wishes: list[Wish] = []
    latest: list[Wish] = []
    shown: tuple[str, ...] = ()
    recommended: list[str] = []
    named: list[str] = []
    entities: list[str] = []
    chosen: list[str] = []
    asked: set[str] = set()
    catalog = listener.catalog
    for turn in turns:
        if turn.role == "assistant":
            mentioned = list(turn.items)
            shown = turn.items or shown
            recommended += turn.items
        else:
            stated = "\n".join(clause for clause in listener.clauses(turn.text) if not asks(clause))
            latest = listener.hear(stated, shown)
            wishes += latest
            chosen += listener.refer(stated)
            mentioned = listener.refer(turn.text, shown)
            asked = _asked(listener, turn.text, shown)
            found = listener.lexicon.find(plain(turn.text))
            entities += [one.value for one in found if one.item is None]
        named += mentioned
        entities += [name_of(catalog[catalog.position(item)].title) for item in mentioned]
    return Heard(
        tuple(wish for wish in wishes if wish.said not in ignore),
        tuple(wish for wish in latest if wish.said not in ignore),
        shown,
        tuple(item for item in dict.fromkeys(recommended) if item not in asked),
        tuple(dict.fromkeys(reversed(named)))[::-1],
        tuple(dict.fromkeys(chosen)),
        Dialogue(tuple(turn.text for turn in turns), tuple(entities)),
    )


def _asked(listener: Listener, message: str, shown: Sequence[str]) -> set[str]:
    """The items that a message asks for by name or place, rather than for others like them."""
    return {
        item
        for clause in listener.clauses(message)
        if not _LIKENESS.search(plain(clause))
        for item in listener.refer(clause, shown)
    }

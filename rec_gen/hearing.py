"""What is known after a dialogue: wishes, what was shown, what was named."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import regex

from rec_gen.data.dataset import Dialogue
from rec_gen.lexicon import name_of
from rec_gen.listener import Listener
from rec_gen.questions import asks, find_question
from rec_gen.replying import Turn
from rec_gen.wishes import Wish, settled

_UP_TO = regex.compile(r"(?P<turn>\d{1,9}): (?P<said>.+)", regex.DOTALL)


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

    A later wish lifts what it contradicts, see `rec_gen.wishes.settled`. The items of an answer to
    a question are not those that "the second one" refers to.

    Args:
        listener: Of the catalog.
        turns: Oldest first, the last one a user's.
        ignore: Which wishes do not hold: the words of `Wish.said`, wherever they were said, or
            these behind a number, such as `2: no horror`, where they were said in the first so
            many messages of the user.
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
    questioned, messages = False, 0
    for turn in turns:
        if turn.role == "assistant":
            mentioned = list(turn.items)
            shown = shown if questioned and shown else turn.items or shown
            recommended += turn.items
        else:
            messages += 1
            questions = _questions(listener, turn.text, shown)
            questioned = find_question(listener, turn.text, shown) is not None
            stated = [
                wish
                for wish in listener.hear(turn.text, shown)
                if not _ignored(wish, ignore, messages)
                and (wish.said not in questions or (wish.rule or "").startswith("not "))
            ]
            back = {
                item: wish
                for item, wish in _released(listener, turn.text, shown).items()
                if not _ignored(wish, ignore, messages)
            }
            wishes, latest = settled(wishes, stated, back)
            chosen += [
                item
                for clause in listener.clauses(turn.text)
                if clause.text not in questions
                for item in listener.refer(clause.text)
            ]
            mentioned = listener.refer(turn.text, shown)
            asked = set(listener.asked_for(turn.text, shown, told=True))
            found = listener.lexicon.hear(turn.text)
            entities += [one.value for one in found if one.item is None]
        named += mentioned
        entities += [name_of(catalog[catalog.position(item)].title) for item in mentioned]
    return Heard(
        tuple(wishes),
        tuple(latest),
        shown,
        tuple(item for item in dict.fromkeys(recommended) if item not in asked),
        tuple(dict.fromkeys(reversed(named)))[::-1],
        tuple(dict.fromkeys(chosen)),
        Dialogue(tuple(turn.text for turn in turns), tuple(entities)),
    )


def _questions(listener: Listener, message: str, shown: Sequence[str]) -> set[str]:
    """The parts of a message that ask about items, of which only refusals are wishes."""
    return {clause.text for clause in listener.clauses(message) if asks(clause, shown)}


def _released(listener: Listener, message: str, shown: Sequence[str]) -> dict[str, Wish]:
    """For each item that a message asks for, the wish that lifts its block."""
    catalog = listener.catalog
    return {
        item: Wish(said, lifts=f"not {name_of(catalog[catalog.position(item)].title)}")
        for item, said in listener.asked_for(message, shown).items()
    }


def _ignored(wish: Wish, ignore: Collection[str], messages: int) -> bool:
    """Whether a wish of the user's message of a number, from 1, does not hold."""
    if wish.said in ignore:
        return True
    bounded = (_UP_TO.fullmatch(entry) for entry in ignore)
    return any(one and one["said"] == wish.said and messages <= int(one["turn"]) for one in bounded)

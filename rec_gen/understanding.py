"""What a request for a reply comes to: a dialogue that was heard, and what may be named."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rec_gen.decoding.filters import LeafFilter
from rec_gen.decoding.writing import eligible
from rec_gen.errors import DataError, DecodingError
from rec_gen.hearing import Heard, hear
from rec_gen.index import Filters, Index
from rec_gen.listener import Listener
from rec_gen.replying import Turn, quoted
from rec_gen.wishes import filters

NOTHING_LEFT = "There is nothing left to recommend."


@dataclass(frozen=True)
class Request:
    """A dialogue that asks for a reply.

    Attributes:
        heard: The dialogue as it was understood.
        history: Catalog positions of what the user had, oldest first.
        seen: Ids of the history and of what was recommended already.
        given: What holds beside the wishes.
        filters: What may be recommended, all told.
        leaves: The same for a search, but for the items that are blocked.
        blocked: Catalog positions.
        refused: Those of them that the wishes and `given` block.
    """

    heard: Heard
    history: list[int]
    seen: tuple[str, ...]
    given: Filters
    filters: Filters
    leaves: LeafFilter
    blocked: list[int]
    refused: list[int]

    @property
    def nameable(self) -> npt.NDArray[np.bool_]:
        """Whose titles free text may hold, bool [items]: it may speak of what was seen."""
        passed = (np.diff(self.leaves.sums_on_host) > 0)[self.leaves.leaf_of]
        passed[self.refused] = False
        return passed


def understand(
    index: Index,
    listener: Listener,
    dialogues: Sequence[Sequence[Turn]],
    histories: Sequence[Sequence[str]] | None,
    ignore: Sequence[Sequence[str]] | None,
    given: Sequence[Filters] | None,
) -> list[Request]:
    """Hear dialogues and turn what they state into filters; see `Recommender.reply`.

    Raises:
        DataError: A dialogue does not end with a user's turn, or an item id is not known.
        DecodingError: There are not as many of something as dialogues.
        RuleError: A given rule is wrong.
    """
    for name, each in (("histories", histories), ("ignore", ignore), ("filters", given)):
        if each is not None and len(each) != len(dialogues):
            raise DecodingError(
                f"{len(dialogues)} dialogues and {len(each)} {name}: give one for each"
            )
    requests = []
    for n, turns in enumerate(dialogues):
        if not turns or turns[-1].role != "user":
            raise DataError(f"request {n}: its dialogue must end with a turn of the user")
        ids = histories[n] if histories is not None else ()
        history = index.positions(ids)
        heard = hear(listener, turns, ignore[n] if ignore is not None else ())
        own = _kept(given[n]) if given is not None else Filters()
        seen = (*ids, *heard.recommended)
        whole = _joined(own, filters(heard.wishes, seen))
        (leaves,), (blocked,) = index.leaf_filters(1, [whole], Filters())
        refused = [*own.block, *(item for wish in heard.wishes for item in wish.block)]
        requests.append(
            Request(heard, history, seen, own, whole, leaves, blocked, index.positions(refused))
        )
    return requests


def nothing_left(index: Index, request: Request) -> str:
    """A sentence for a request without eligible items, with the wish that leaves none."""
    for count in range(len(request.heard.wishes) + 1):
        wishes = request.heard.wishes[:count]
        kept = _joined(request.given, filters(wishes, request.seen))
        (leaves,), (blocked,) = index.leaf_filters(1, [kept], Filters())
        if not eligible(leaves, blocked):
            if not wishes:
                break
            return f"Nothing is left with {quoted(wishes[-1:])}. Take it back, or ask for less."
    return NOTHING_LEFT


def _kept(own: Filters) -> Filters:
    """The same filters, which can be read more than once."""
    return Filters(tuple(own.block), None if own.allow is None else tuple(own.allow), own.where)


def _joined(own: Filters, wished: Filters) -> Filters:
    """Both at once; wishes never allow."""
    rules = [f"({rule})" for rule in (own.where, wished.where) if rule is not None]
    block = tuple(dict.fromkeys([*own.block, *wished.block]))
    return Filters(block, own.allow, " and ".join(rules) or None)

"""What a request for a reply comes to: a dialogue that was heard, and what may be named."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from rec_gen.decoding.filters import LeafFilter
from rec_gen.errors import DataError, DecodingError
from rec_gen.hearing import Heard, hear
from rec_gen.index import Filters, Index
from rec_gen.keeping import Keeper, Masks, filters, holding
from rec_gen.replying import Turn, quoted
from rec_gen.wishes import Wish

NOTHING_LEFT = "There is nothing left to recommend."


@dataclass(frozen=True)
class Request:
    """A dialogue that asks for a reply.

    Attributes:
        heard: The dialogue as it was understood.
        history: Catalog positions of what the user had, oldest first.
        filters: What may be recommended, all told.
        leaves: The same for a search, but for the items that are blocked.
        blocked: Catalog positions.
        refused: Those of them that the wishes and filters block.
        spoken: Catalog positions of what either side named.
        emptied_by: The oldest wish after which nothing is left that was left before it.
    """

    heard: Heard
    history: list[int]
    filters: Filters
    leaves: LeafFilter
    blocked: list[int]
    refused: list[int]
    spoken: frozenset[int]
    emptied_by: Wish | None

    @property
    def nameable(self) -> npt.NDArray[np.bool_]:
        """Whose titles free text may hold, bool [items]: it may speak of what was seen."""
        passed = (np.diff(self.leaves.sums_on_host) > 0)[self.leaves.leaf_of]
        passed[self.refused] = False
        return passed


def understand(
    index: Index,
    dialogues: Sequence[Sequence[Turn]],
    histories: Sequence[Sequence[str]] | None,
    ignore: Sequence[Sequence[str]] | None,
    given: Sequence[Filters] | None,
) -> list[Request]:
    """Hear dialogues and turn what they state into filters; see `Recommender.reply`.

    Raises:
        DataError: A dialogue does not end with a user's turn, or an item id is not known.
        DecodingError: There are not as many of something as dialogues, or a list is no list.
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
        ignored = _words(n, ignore[n]) if ignore is not None else ()
        heard = hear(index.names.listener, turns, ignored)
        keeper = Keeper(index.catalog, heard.wishes)
        heard = replace(heard, wishes=keeper.keep(heard.wishes), latest=keeper.keep(heard.latest))
        own = _kept(given[n]) if given is not None else Filters()
        seen = (*ids, *heard.recommended)
        whole = _joined(own, filters(heard.wishes, seen))
        blocked = index.positions([*own.block, *seen])
        leaves, emptied_by = _narrow(index, own, blocked, heard.wishes, keeper.masks)
        refused = [*own.block, *(item for wish in heard.wishes for item in wish.block)]
        requests.append(
            Request(
                heard,
                history,
                whole,
                leaves,
                index.positions(whole.block),
                index.positions(refused),
                frozenset(index.positions([*heard.named, *heard.chosen])),
                emptied_by,
            )
        )
    return requests


def nothing_left(request: Request) -> str:
    """A sentence for a request without eligible items, with the wish that leaves none."""
    if request.emptied_by is None:
        return NOTHING_LEFT
    return f"Nothing is left with {quoted([request.emptied_by])}. Take it back, or ask for less."


def _kept(own: Filters) -> Filters:
    """The same filters, which can be read more than once."""
    return Filters(tuple(own.block), None if own.allow is None else tuple(own.allow), own.where)


def _joined(own: Filters, wished: Filters) -> Filters:
    """Both at once; wishes never allow."""
    rules = [f"({rule})" for rule in (own.where, wished.where) if rule is not None]
    block = tuple(dict.fromkeys([*own.block, *wished.block]))
    return Filters(block, own.allow, " and ".join(rules) or None)


def _words(request: int, ignored: Sequence[str]) -> Sequence[str]:
    """The words of wishes that do not hold, where they are a list of texts."""
    if isinstance(ignored, str) or not all(isinstance(said, str) for said in ignored):
        raise DecodingError(
            f"request {request}: ignore is {ignored!r}: give a list of what wishes said"
        )
    return ignored


def _narrow(
    index: Index, own: Filters, blocked: list[int], wishes: Sequence[Wish], masks: Masks
) -> tuple[LeafFilter, Wish | None]:
    """What own filters and the rules of wishes let through, and the wish that leaves nothing.

    Args:
        index: The catalog.
        own: What holds beside the wishes.
        blocked: Catalog positions that may not be recommended whatever is wished.
        wishes: Oldest first.
        masks: What the rules of the wishes let through.
    """
    passed = index.eligible(own.allow, own.where)
    free = torch.ones_like(passed)
    free[torch.tensor(blocked, dtype=torch.int64)] = False
    left = bool((passed & free).any())
    emptied_by = None
    for wish in holding(wishes):
        if wish.rule is not None:
            passed &= torch.from_numpy(masks[wish.rule])
        free[torch.tensor(index.positions(wish.block), dtype=torch.int64)] = False
        if left and not (passed & free).any():
            left, emptied_by = False, wish
    if not any(wish.rule for wish in wishes):  # requests without rules share what they may return
        return index.shared_filter((), own.allow, own.where), emptied_by
    return LeafFilter(index.trie, passed), emptied_by

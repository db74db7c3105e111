"""One version of a catalog, ready to be searched; a change of the catalog makes another one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING

import torch

from rec_gen.catalog import Catalog, Item
from rec_gen.decoding.filters import LeafFilter
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import DataError, DecodingError
from rec_gen.names import Names
from rec_gen.prompting import PromptRenderer
from rec_gen.respelling import Codes, Respeller
from rec_gen.rules import eligible_items
from rec_gen.spelling import Spellings

if TYPE_CHECKING:
    from rec_gen.reasons import Reasons


@dataclass(frozen=True)
class Filters:
    """What one request may return.

    Attributes:
        block: Item ids that are never returned.
        allow: The only item ids that may be returned; None allows the whole catalog.
        where: A rule over the catalog's columns, see `rec_gen.rules.eligible_items`.
    """

    block: Iterable[str] = ()
    allow: Iterable[str] | None = None
    where: str | None = None


@dataclass(frozen=True, eq=False)
class Index:
    """All that a request needs to know of the catalog. It never changes, so requests share it.

    Nothing in it refers back to it: it is freed as soon as the last request drops it.

    Attributes:
        catalog: Every item that was ever known, so that histories may name it.
        spellings: How the items are written.
        trie: The spellings as a trie, on the model's device.
        renderer: Makes prompts of histories.
        offered: bool [items], on the CPU: which items may be returned; removed ones may not.
        names: Of the catalog's items and values.
        version: Counts the changes since the bundle was loaded.
    """

    catalog: Catalog
    spellings: Spellings
    trie: CatalogTrie
    renderer: PromptRenderer
    offered: torch.Tensor
    names: Names
    version: int = 0

    def changed(
        self, respeller: Respeller, put: Iterable[Item], remove: Iterable[str], codes: Codes
    ) -> "Index":
        """The next version; what did not change is shared with this one.

        Raises:
            DataError: An item does not fit the catalog, is not known, or is named twice.
            SpellingError: An item cannot be written with the tokens that the model has.
        """
        items, removed = list(put), self.positions(remove)
        catalog = self.catalog.put(items) if items else self.catalog
        places = [catalog.position(item.id) for item in items]
        for place in set(removed).intersection(places):
            raise DataError(f"item '{catalog.ids[place]}' is put and removed at once: choose one")
        for item in set(codes).difference(item.id for item in items):
            raise DataError(f"item '{item}' has codes and is not put: put it too")
        spellings = respeller.respell(self.catalog, catalog, self.spellings, places, codes)
        trie, renderer = self.trie, self.renderer
        if spellings is not self.spellings:
            trie = CatalogTrie.build(spellings.tokens).to(trie.items.device)
        if items:
            renderer = renderer.over(catalog, spellings)
        offered = torch.ones(len(catalog), dtype=torch.bool)
        offered[: len(self.offered)] = self.offered
        offered[places] = True
        offered[removed] = False
        names = self.names if catalog is self.catalog else Names(catalog)
        return Index(catalog, spellings, trie, renderer, offered, names, self.version + 1)

    def positions(self, items: Iterable[str]) -> list[int]:
        """The positions of item ids.

        Raises:
            DataError: An item is not known, or one text stands in the place of many.
        """
        if isinstance(items, str):
            raise DataError(f"'{items}' stands where a list of item ids belongs")
        return [self.catalog.position(item) for item in items]

    def shared_filter(
        self, block: Iterable[str], allow: Iterable[str] | None, where: str | None
    ) -> LeafFilter:
        """What all requests may return, before each one's history is taken out.

        Raises:
            DataError: An item is not known.
            RuleError: The rule is wrong.
        """
        blocked = self.positions(block)
        if allow is None and not blocked:
            return self._rule_filter(where)
        eligible = self.eligible(allow, where)
        eligible[torch.tensor(blocked, dtype=torch.int64)] = False
        return LeafFilter(self.trie, eligible)

    def eligible(self, allow: Iterable[str] | None, where: str | None) -> torch.Tensor:
        """What may be returned, bool [items] by catalog position, for the caller to change.

        Raises:
            DataError: An item is not known.
            RuleError: The rule is wrong.
        """
        eligible = self._rule_mask(where).clone()
        if allow is not None:
            allowed = torch.zeros_like(eligible)
            allowed[torch.tensor(self.positions(allow), dtype=torch.int64)] = True
            eligible &= allowed
        return eligible

    def leaf_filters(
        self, requests: int, filters: Sequence[Filters] | None, shared: Filters
    ) -> tuple[list[LeafFilter], list[list[int]]]:
        """What each request may return: a filter, and the positions of what it alone blocks.

        Args:
            requests: Their number.
            filters: The filters of each.
            shared: Those of all, where there are none of each.

        Raises:
            DataError: An item is not known.
            DecodingError: There are not as many filters as requests, or both kinds are given.
            RuleError: A rule is wrong.
        """
        if filters is None:
            both = self.shared_filter(shared.block, shared.allow, shared.where)
            return [both] * requests, [[]] * requests
        given = shared.block or shared.allow is not None or shared.where is not None
        if given or len(filters) != requests:
            raise DecodingError(
                f"{len(filters)} filters for {requests} requests: give one for each, and neither "
                "block, allow nor where beside them"
            )
        return (
            [self.shared_filter((), own.allow, own.where) for own in filters],
            [self.positions(own.block) for own in filters],
        )

    @cached_property
    def reasons(self) -> "Reasons":
        """What items share; made of the whole catalog when it is first asked for."""
        from rec_gen.reasons import Reasons

        return Reasons(self.catalog)

    @cached_property
    def _rule_mask(self) -> Callable[[str | None], torch.Tensor]:
        return lru_cache(maxsize=64)(partial(_make_rule_mask, self.catalog, self.offered))

    @cached_property
    def _rule_filter(self) -> Callable[[str | None], LeafFilter]:
        return lru_cache(maxsize=64)(partial(_make_rule_filter, self.trie, self._rule_mask))


def _make_rule_mask(catalog: Catalog, offered: torch.Tensor, where: str | None) -> torch.Tensor:
    return offered if where is None else offered & torch.from_numpy(eligible_items(catalog, where))


def _make_rule_filter(
    trie: CatalogTrie, mask: Callable[[str | None], torch.Tensor], where: str | None
) -> LeafFilter:
    return LeafFilter(trie, mask(where))

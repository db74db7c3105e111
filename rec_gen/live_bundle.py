"""A loaded bundle whose catalog changes while requests go on."""

from collections.abc import Callable, Iterable, Sequence
from threading import Lock

import torch

from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog, Item
from rec_gen.index import Index
from rec_gen.names import Names
from rec_gen.respelling import Codes, Respeller
from rec_gen.tasks import REPLY


class LiveBundle:
    """The catalog as it is now: a request reads the index once, a change replaces it.

    Neither waits for the other.

    Args:
        bundle: What was trained.
        device: Where the trie is searched.
    """

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        self.bundle = bundle
        self._respeller = Respeller(bundle.spellings, bundle.tokenizer, bundle.encoder)
        self._changing = Lock()
        self._index = Index(
            bundle.catalog,
            bundle.spellings,
            bundle.trie.to(device),
            bundle.renderer(),
            torch.ones(len(bundle.catalog), dtype=torch.bool),
            Names(bundle.catalog),
        )
        self._replies = any(template.header["task"] == REPLY for template in bundle.tasks)

    @property
    def index(self) -> Index:
        """All that a request needs to know of the catalog as it is now."""
        return self._index

    @property
    def catalog(self) -> Catalog:
        """The items as they are now, with the removed ones, which histories may still name."""
        return self._index.catalog

    @property
    def names(self) -> Names:
        """The names of the items as they are now."""
        return self._index.names

    @property
    def version(self) -> int:
        """How often the catalog was changed since the bundle was loaded."""
        return self._index.version

    def put_items(self, items: Iterable[Item], *, codes: Codes | None = None) -> int:
        """Add items, or put them in the place of those with their ids; see `update`."""
        return self.update(put=items, codes=codes)

    def remove_items(self, items: Iterable[str]) -> int:
        """Stop returning items, by id; see `update`."""
        return self.update(remove=items)

    def codes_for(self, put: Sequence[Item], codes: Codes | None = None) -> Codes:
        """The codes that a change would give to its new items, see `Respeller.complete`."""
        index = self._index
        return self._respeller.complete(index.catalog, index.spellings, put, codes or {})

    def update(
        self,
        *,
        put: Iterable[Item] = (),
        remove: Iterable[str] = (),
        codes: Codes | None = None,
        commit: Callable[[], object] | None = None,
    ) -> int:
        """Change the catalog in one step while requests go on.

        What replies need to know of the catalog is made beforehand, where the bundle replies. A
        request sees all of a change or none of it, and ends on the catalog it began with. The
        loaded bundle stays as it is: the change lasts as long as this recommender.

        Args:
            put: Items that are added, or that replace those with their ids, removed ones
                included. A field that an item lacks becomes null. Where the model spells by
                title, items whose text stays are not tokenised again.
            remove: Ids of items that are never returned from now on. Histories may name them.
            codes: Where the model spells by semantic IDs, the codes of new items, from the tokens
                that the model has; an edited item keeps its own unless others are given. Where the
                bundle kept its item encoder, it gives nearest codes to new items without.
            commit: Called once the change is known to fit, and before any request sees it; what it
                raises is raised, and nothing changes then.

        Returns:
            The new version.

        Raises:
            DataError: An item does not fit the catalog's columns, is not known, or is named twice.
            SpellingError: The model has no tokens to write an item.
        """
        with self._changing:
            put = list(put)
            codes = self.codes_for(put, codes)
            index = self._index.changed(self._respeller, put, remove, codes)
            if self._replies:
                index.names.make()
                index.renderer.links()
            if commit is not None:
                commit()
            self._index = index
            return index.version

"""Items that several catalogs of one model have in common."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rec_gen.index import Index
from rec_gen.live_bundle import LiveBundle

Histories = Mapping[str, Sequence[str]]
"""Item ids by domain, oldest first."""


class SharedItems:
    """Finds an item of one catalog in another one: the two are written by the same tokens.

    Args:
        indexes: The catalogs as they are now, by the name of the domain.
    """

    def __init__(self, indexes: Mapping[str, Index]) -> None:
        spelled = {
            name: [tokens.tobytes() for tokens in index.spellings.tokens]
            for name, index in indexes.items()
        }
        times = Counter(tokens for each in spelled.values() for tokens in each)
        self._tokens = {
            name: {
                item: tokens
                for item, tokens in zip(index.catalog.ids, spelled[name], strict=True)
                if times[tokens] > 1
            }
            for name, index in indexes.items()
        }
        self._ids = {
            name: {tokens: item for item, tokens in each.items()}
            for name, each in self._tokens.items()
        }

    def carried(self, histories: Histories, name: str) -> list[str]:
        """The items of other domains that a domain has too, by its own ids.

        Args:
            histories: Items by domain.
            name: The domain.
        """
        ids = self._ids[name]
        spelled = (
            self._tokens[domain].get(item)
            for domain, items in histories.items()
            if domain != name
            for item in items
        )
        return [ids[tokens] for tokens in spelled if tokens in ids]


class Sharing:
    """Knows what catalogs have in common, and looks again once one of them has changed."""

    def __init__(self) -> None:
        self._found: tuple[dict[str, Index], SharedItems] = ({}, SharedItems({}))

    def among(self, domains: Mapping[str, LiveBundle]) -> SharedItems:
        """What catalogs have in common now; it takes a moment after a change.

        Args:
            domains: The catalogs, by the name of the domain.
        """
        indexes = {name: one.index for name, one in domains.items()}
        before, found = self._found
        if any(before.get(name) is not index for name, index in indexes.items()):
            found = SharedItems(indexes)
            self._found = indexes, found
        return found

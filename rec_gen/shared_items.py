"""Items that several catalogs of one bundle have in common."""

from collections.abc import Mapping, Sequence

from rec_gen.bundle import Bundle

Histories = Mapping[str, Sequence[str]]
"""Item ids by domain, oldest first."""


class SharedItems:
    """Finds an item of one catalog in another one: the two are written by the same tokens.

    Args:
        parts: The catalogs as bundles, by the name of the domain.
    """

    def __init__(self, parts: Mapping[str, Bundle]) -> None:
        self._tokens = {
            name: {
                item: tokens.tobytes()
                for item, tokens in zip(part.catalog.ids, part.spellings.tokens, strict=True)
            }
            for name, part in parts.items()
        }
        self._ids = {
            name: {tokens: item for item, tokens in spelled.items()}
            for name, spelled in self._tokens.items()
        }

    def carried(self, histories: Histories, name: str) -> list[str]:
        """The items of other domains that a domain has too, by its own ids.

        Args:
            histories: Items by domain; those that came after the bundle was made have no like.
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

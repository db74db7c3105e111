"""Which items a request may return, asked as: how many eligible leaves lie below a node?"""

from collections.abc import Sequence

import torch

from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import NoEligibleItemError


class EligibleLeaves:
    """Prefix sums over the sorted leaves of a trie, one row a request.

    Attributes:
        totals: int64 [requests], the number of eligible items of each request.
    """

    def __init__(self, trie: CatalogTrie, eligible: torch.Tensor) -> None:
        """Sum up the eligible items.

        Args:
            trie: The catalog.
            eligible: bool [requests, items], by catalog position.

        Raises:
            NoEligibleItemError: A request has no eligible item.
        """
        by_leaf = eligible[:, trie.items]
        self._sums = torch.nn.functional.pad(by_leaf.cumsum(dim=1), (1, 0))
        self.totals = self._sums[:, -1]
        if not bool(self.totals.all()):
            raise NoEligibleItemError(int((self.totals == 0).nonzero()[0]))

    def count(
        self, requests: torch.Tensor, start: torch.Tensor, stop: torch.Tensor
    ) -> torch.Tensor:
        """Eligible leaves in `[start, stop)` for each row; all arguments int64 [rows]."""
        return self._sums[requests, stop] - self._sums[requests, start]

    def first(
        self, requests: torch.Tensor, start: torch.Tensor, stop: torch.Tensor
    ) -> torch.Tensor:
        """The first eligible leaf in `[start, stop)`, which must hold one, for each row."""
        low, high = start, stop - 1
        while bool((low < high).any()):
            middle = (low + high) // 2
            found = self.count(requests, low, middle + 1) > 0
            low, high = torch.where(found, low, middle + 1), torch.where(found, middle, high)
        return low


def eligible_items(
    items: int,
    excluded: Sequence[Sequence[int]],
    allowed: Sequence[int] | None = None,
) -> torch.Tensor:
    """Mask the catalog for each request.

    Args:
        items: The size of the catalog.
        excluded: For each request, the catalog positions that it must not return.
        allowed: The only positions that any request may return; None allows all.

    Returns:
        bool [requests, items].
    """
    mask = torch.full((len(excluded), items), fill_value=allowed is None)
    if allowed is not None:
        mask[:, torch.tensor(allowed, dtype=torch.int64)] = True
    for row, positions in zip(mask, excluded, strict=True):
        row[torch.tensor(positions, dtype=torch.int64)] = False
    return mask

"""Which items a request may return, asked as: how many eligible leaves lie below a node?"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch

from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import NoEligibleItemError


class LeafFilter:
    """Prefix sums over the sorted leaves of a trie; made once for all requests that share it.

    Attributes:
        sums: int32 [leaves + 1], how many eligible leaves come before each, on the trie's device.
        sums_on_host: The same for numpy, which takes a few items out in a third of the time.
        leaf_of: int32 [items], the leaf of each catalog position.
    """

    def __init__(self, trie: CatalogTrie, eligible: torch.Tensor | None = None) -> None:
        """Sum up the eligible items.

        Args:
            trie: The catalog.
            eligible: bool [items], by catalog position; None makes all eligible.
        """
        device = trie.items.device
        self.leaf_of = trie.leaf_of
        self.sums = torch.arange(len(trie) + 1, dtype=torch.int32, device=device)
        if eligible is not None:
            by_leaf = eligible.to(device)[trie.items]
            torch.cumsum(by_leaf, 0, dtype=torch.int32, out=self.sums[1:])
        self.sums_on_host = self.sums.numpy(force=True)


class EligibleLeaves:
    """A filter less a few items of each request, such as those it has seen.

    Attributes:
        total: How many items are eligible, summed over the requests.
        filter_of: int64 [requests], the row of each request in `shared`.
    """

    def __init__(
        self, shared: LeafFilter | Sequence[LeafFilter], excluded: Sequence[Sequence[int]]
    ) -> None:
        """Take the excluded items out.

        Args:
            shared: The filter that all requests share, or that of each; the same object is kept
                once.
            excluded: For each request, catalog positions.

        Raises:
            NoEligibleItemError: A request has no eligible item.
        """
        each = (shared,) * len(excluded) if isinstance(shared, LeafFilter) else shared
        different = [shared] if isinstance(shared, LeafFilter) else list(dict.fromkeys(shared))
        row_of = {one: row for row, one in enumerate(different)}
        row = np.array([row_of[one] for one in each], np.int64)
        first = different[0]
        self._alone, self._span = len(different) == 1, len(first.sums)
        self._sums, sums = first.sums, first.sums_on_host
        if not self._alone:  # one after the other, so that a request adds where its own begins
            self._sums = torch.cat([one.sums for one in different])
            sums = np.concatenate([one.sums_on_host for one in different])
        self.filter_of = torch.from_numpy(row).to(self._sums.device)
        sizes = [len(items) for items in excluded]
        requests = np.repeat(np.arange(len(excluded)), sizes)
        leaves = first.leaf_of[np.array(list(chain.from_iterable(excluded)), np.int64)]
        place = row[requests] * self._span + leaves
        keys = np.unique((requests * self._span + leaves)[sums[place + 1] > sums[place]])
        self._excluded = torch.from_numpy(keys).to(self._sums.device)
        whole = sums[(row + 1) * self._span - 1]
        totals = (whole - np.bincount(keys // self._span, minlength=len(excluded))).tolist()
        if 0 in totals:
            raise NoEligibleItemError(totals.index(0))
        self.total = sum(totals)

    @property
    def shared(self) -> torch.Tensor:
        """Which leaves are eligible before each request's are taken out, bool [filters, leaves]."""
        sums = self._sums.view(-1, self._span)
        return sums[:, 1:] > sums[:, :-1]

    @property
    def excluded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The request and the leaf of each that is taken out, int64 [pairs] each."""
        return self._excluded // self._span, self._excluded % self._span

    def count(
        self, requests: torch.Tensor, start: torch.Tensor, stop: torch.Tensor
    ) -> torch.Tensor:
        """Eligible leaves in `[start, stop)` for each row; all arguments [rows]."""
        low, high = start, stop
        if not self._alone:
            begin = self.filter_of.index_select(0, requests) * self._span
            low, high = begin + start, begin + stop
        shared = (self._sums.index_select(0, high) - self._sums.index_select(0, low)).long()
        if not len(self._excluded):
            return shared
        base = requests * self._span
        ends = torch.searchsorted(self._excluded, torch.stack([base + start, base + stop]))
        return shared - (ends[1] - ends[0])

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


def leaves_of(
    filters: Sequence[LeafFilter], excluded: Sequence[Sequence[int]], start: int, size: int
) -> EligibleLeaves:
    """What the requests of one batch may return.

    Args:
        filters: Of all requests.
        excluded: Of all requests.
        start: The batch's first request.
        size: How many it has, at most.

    Raises:
        NoEligibleItemError: A request may return nothing; it is counted from the first of all.
    """
    try:
        return EligibleLeaves(filters[start : start + size], excluded[start : start + size])
    except NoEligibleItemError as error:
        raise NoEligibleItemError(start + error.request) from None

"""The pool of finished items: the best of each request, under a cap on each category."""

from dataclasses import dataclass

import torch

from rec_gen.decoding.filters import EligibleLeaves
from rec_gen.decoding.ragged import group_kth
from rec_gen.decoding.rows import Rows, places
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import DecodingError

CROWD = 4096
"""So many items at once are thinned out before they are sorted."""


@dataclass(frozen=True)
class Cap:
    """At most so many items of a category in one answer.

    Attributes:
        category: int64 [items], by catalog position; a number below the number of items.
        most: Items of one category.
    """

    category: torch.Tensor
    most: int

    def __post_init__(self) -> None:
        if self.most < 1:
            raise DecodingError(f"the cap is {self.most}: allow at least 1 item of a category")


class Pool:
    """The best finished items of each request.

    With a cap these are what going through all finished items, best first, and skipping those of
    full categories would take. An item that is dropped could never come back: what pushed it
    out is only ever replaced by something better.
    """

    def __init__(
        self,
        trie: CatalogTrie,
        leaves: EligibleLeaves,
        nothing: Rows,
        k: int,
        requests: int,
        cap: Cap | None,
        bonus: torch.Tensor | None,
    ) -> None:
        """Begin with an empty pool.

        Args:
            trie: The catalog.
            leaves: Which items each request may return.
            nothing: No rows.
            k: Items of a request.
            requests: Their number.
            cap: The cap on each category.
            bonus: float64 [1 or requests, items], what each item's log-probability is raised by.
        """
        self.rows = nothing
        self._items, self._k = trie.items, k
        self._size = torch.full((requests,), k, device=trie.items.device)
        self._category: torch.Tensor | None = None
        if cap is not None:
            self._most = cap.most
            self._category = cap.category.to(trie.items.device)[trie.items]
            self._size = _room(self._category, cap.most, leaves).clamp(max=k)
        self._bonus = self._top = None
        if bonus is not None:
            bonus = bonus.to(trie.items.device)
            self._top = bonus.amax(dim=1, keepdim=True)
            self._bonus = bonus - self._top

    def add(self, items: Rows) -> None:
        """Take in items by request, whose targets are leaves, and keep the best."""
        if self._bonus is not None:
            # none is positive, so that a prefix still bounds the items below it
            row = items.request % len(self._bonus)
            items = items.worth(self._bonus[row, self._items[items.target].long()])
        if self._category is None and len(items) > CROWD:
            kth = group_kth(items.score, items.request, len(self._size), self._k)
            items = items[items.score >= kth[items.request]]
        rows, rank = self.rows.join(items).ranked()
        if self._category is not None:
            rows = rows[self._within_cap(rows, self._category)]
            rank = places(rows.request)
        self.rows = rows[rank < self._k]

    def _within_cap(self, rows: Rows, category: torch.Tensor) -> torch.Tensor:
        """Which of the rows, best first, find room in their category."""
        keys = rows.request * len(category) + category[rows.target]
        keys, order = keys.sort(stable=True)
        return torch.empty_like(order).index_put_((order,), places(keys)) < self._most

    def bars(self) -> torch.Tensor:
        """What a prefix must reach to matter, float64 [requests].

        It is the score of the worst item, and -inf while the pool does not hold all it can.
        """
        full = torch.bincount(self.rows.request, minlength=len(self._size)) >= self._size
        worst = self.rows.score.new_full((len(self._size),), torch.inf)
        worst.scatter_reduce_(0, self.rows.request, self.rows.score, "amin")
        return torch.where(full, worst, -torch.inf)

    def log_probs(self) -> torch.Tensor:
        """The log-probability of each row, with its bonus, float64 [rows]."""
        log_probs = self.rows.log_prob
        if self._top is None:
            return log_probs
        return log_probs + self._top[self.rows.request % len(self._top), 0]


def _room(category: torch.Tensor, most: int, leaves: EligibleLeaves) -> torch.Tensor:
    """How many items of each request the cap lets through, int64 [requests]."""
    count = len(category)
    sizes = torch.stack([torch.bincount(category[own], minlength=count) for own in leaves.shared])
    request, leaf = leaves.excluded
    pair, gone = torch.unique(request * count + category[leaf], return_counts=True)
    before = sizes[leaves.filter_of[pair // count], pair % count]
    lost = before.clamp(max=most) - (before - gone).clamp(max=most)
    room = sizes.clamp(max=most).sum(1)[leaves.filter_of]
    return room.index_add_(0, pair // count, -lost)

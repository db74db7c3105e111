"""Rows of a search: one for each open prefix or finished item, of all requests in one table."""

from dataclasses import dataclass, fields, replace

import torch


@dataclass(frozen=True)
class Rows:
    """Columns of one length, all int64 but for the score.

    Attributes:
        request: The request that a row belongs to.
        target: The trie node that it leads to; for an item the complement of its leaf, or the
            leaf itself once it is finished.
        score: float64, what rows are ranked by; it only falls along a path. Unless items are
            sampled, the log-probability so far.
        slot: The slot of the runtime's tree that it grows from.
        token: The token that it adds there.
        run: Where the tokens that are forced after that one begin in the trie's runs.
        left: How many they are.
        drawn: None unless items are sampled; then the score is a Gumbel, and this float64
            [rows, 2] holds the log-probability so far and that of the draws.
    """

    request: torch.Tensor
    target: torch.Tensor
    score: torch.Tensor
    slot: torch.Tensor
    token: torch.Tensor
    run: torch.Tensor
    left: torch.Tensor
    drawn: torch.Tensor | None = None

    @classmethod
    def at_root(cls, requests: torch.Tensor) -> "Rows":
        """One row a request at the root of the trie."""
        zeros = torch.zeros_like(requests)
        return cls(requests, zeros, zeros.double(), zeros, zeros, zeros, zeros)

    def __len__(self) -> int:
        return len(self.request)

    def __getitem__(self, index: torch.Tensor | slice) -> "Rows":
        if isinstance(index, slice):
            return Rows(*(column[index] for column in self._columns()))
        if index.dtype == torch.bool:
            index = index.nonzero()[:, 0]
        return Rows(*(column.index_select(0, index) for column in self._columns()))

    def _columns(self) -> list[torch.Tensor]:
        columns = [getattr(self, field.name) for field in fields(self)]
        return columns if self.drawn is not None else columns[:-1]

    @property
    def log_prob(self) -> torch.Tensor:
        """The log-probability so far, float64 [rows]."""
        return self.score if self.drawn is None else self.drawn[:, 0]

    def join(self, other: "Rows") -> "Rows":
        """These rows, then the others."""
        pairs = zip(self._columns(), other._columns(), strict=True)
        return Rows(*(torch.cat(pair) for pair in pairs))

    def plus(self, log_probs: torch.Tensor) -> "Rows":
        """The same rows after forced tokens, which are never drawn, of these log-probabilities."""
        if self.drawn is None:
            return replace(self, score=self.score + log_probs)
        return replace(self, drawn=_added_first(self.drawn, log_probs))

    def worth(self, bonus: torch.Tensor) -> "Rows":
        """The same rows with a bonus on what they are ranked by and on what is returned."""
        drawn = None if self.drawn is None else _added_first(self.drawn, bonus)
        return replace(self, score=self.score + bonus, drawn=drawn)

    def at_leaves(self, leaves: torch.Tensor) -> "Rows":
        """The same rows, finished at leaves."""
        return replace(self, target=leaves)

    def by_request(self) -> "Rows":
        """The rows of each request together, in their order."""
        return self[self.request.argsort(stable=True)]

    def ranked(self) -> tuple["Rows", torch.Tensor]:
        """The rows by request and best first, with each row's rank in its request."""
        order = self.score.argsort(descending=True, stable=True)
        rows = self[order[self.request[order].argsort(stable=True)]]
        return rows, places(rows.request)


def places(keys: torch.Tensor) -> torch.Tensor:
    """Each row's place among the rows of its key, int64 [rows]; the keys are sorted."""
    first = torch.searchsorted(keys, keys)
    return torch.arange(len(keys), device=keys.device) - first


def _added_first(columns: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return torch.stack([columns[:, 0] + values, columns[:, 1]], dim=1)

"""Rows of a search: one for each open prefix or finished item, of all requests in one table."""

from dataclasses import dataclass, fields

import torch


@dataclass(frozen=True)
class Rows:
    """Columns of one length, all int64 but for the score.

    Attributes:
        request: The request that a row belongs to.
        target: The trie node that it leads to; for an item the complement of its leaf, or the
            leaf itself once it is finished.
        score: float64, the log-probability so far.
        slot: The slot of the runtime's tree that it grows from.
        token: The token that it adds there.
        run: Where the tokens that are forced after that one begin in the trie's runs.
        left: How many they are.
    """

    request: torch.Tensor
    target: torch.Tensor
    score: torch.Tensor
    slot: torch.Tensor
    token: torch.Tensor
    run: torch.Tensor
    left: torch.Tensor

    @classmethod
    def empty(cls, device: torch.device) -> "Rows":
        """No rows."""
        none = torch.zeros(0, dtype=torch.int64, device=device)
        return cls(none, none, none.double(), none, none, none, none)

    @classmethod
    def at_root(cls, requests: torch.Tensor) -> "Rows":
        """One row a request at the root of the trie."""
        zeros = torch.zeros_like(requests)
        return cls(requests, zeros, zeros.double(), zeros, zeros, zeros, zeros)

    def __len__(self) -> int:
        return len(self.request)

    def __getitem__(self, index: torch.Tensor | slice) -> "Rows":
        return Rows(*(column[index] for column in self._columns()))

    def _columns(self) -> list[torch.Tensor]:
        return [getattr(self, field.name) for field in fields(self)]

    def join(self, other: "Rows") -> "Rows":
        """These rows, then the others."""
        pairs = zip(self._columns(), other._columns(), strict=True)
        return Rows(*(torch.cat(pair) for pair in pairs))

    def by_request(self) -> "Rows":
        """The rows of each request together, in their order."""
        return self[self.request.argsort(stable=True)]

    def ranked(self) -> tuple["Rows", torch.Tensor]:
        """The rows by request and best first, with each row's rank in its request."""
        rows = self[self.score.argsort(descending=True, stable=True)].by_request()
        first = torch.searchsorted(rows.request, rows.request)
        return rows, torch.arange(len(rows), device=first.device) - first

"""The catalog as a trie over token ids; it knows nothing of text, models or users."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch

from rec_gen.errors import SpellingError


@dataclass(frozen=True)
class CatalogTrie:
    """All spellings of a catalog, sorted, so that every node owns a contiguous range of leaves.

    Nodes are numbered breadth first from the root, 0, and the children of a node are contiguous.

    Attributes:
        items: int64 [leaves], the catalog position of each leaf, in sorted order.
        tokens: int64 [nodes], the token on the edge into a node; -1 at the root.
        leaf_start: int64 [nodes], the first leaf below a node.
        leaf_stop: int64 [nodes], one past the last leaf below a node.
        child_start: int64 [nodes], the first child of a node.
        child_stop: int64 [nodes], one past the last child; a leaf's node has no child.
    """

    items: torch.Tensor
    tokens: torch.Tensor
    leaf_start: torch.Tensor
    leaf_stop: torch.Tensor
    child_start: torch.Tensor
    child_stop: torch.Tensor

    def __len__(self) -> int:
        return len(self.items)

    def to(self, device: torch.device) -> "CatalogTrie":
        """The same trie on another device."""
        return CatalogTrie(*(getattr(self, field.name).to(device) for field in fields(self)))

    @classmethod
    def build(cls, spellings: Sequence[npt.NDArray[np.int32]]) -> "CatalogTrie":
        """Sort the spellings and number the nodes level by level.

        Args:
            spellings: For each catalog position, its token ids, int32 [length], not empty.

        Raises:
            SpellingError: There is no item, a spelling is empty, two items share a spelling, or
                one spelling begins with another.
        """
        lengths = np.array([len(spelling) for spelling in spellings])
        if not len(lengths):
            raise SpellingError("the catalog is empty: a trie needs at least one item")
        if not lengths.all():
            raise SpellingError(f"item {int(lengths.argmin())} has an empty spelling")
        padded = np.full((len(spellings), int(lengths.max())), -1, dtype=np.int64)
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(spellings)
        order = np.lexsort(padded.T[::-1])
        padded, lengths = padded[order], lengths[order]
        # changed[r, d]: row r differs from the row above somewhere in its first d + 1 tokens
        changed = np.ones_like(padded, dtype=bool)
        changed[1:] = np.logical_or.accumulate(padded[1:] != padded[:-1], axis=1)
        _refuse_clashes(changed, lengths, order)

        tokens, starts, stops = [np.array([-1])], [np.array([0])], [np.array([len(order)])]
        for depth in range(padded.shape[1]):
            bounds = np.append(np.flatnonzero(changed[:, depth]), len(order))
            rows, ends = bounds[:-1], bounds[1:]
            inside = lengths[rows] > depth
            tokens.append(padded[rows[inside], depth])
            starts.append(rows[inside])
            stops.append(ends[inside])
        child_start, child_stop = _number_children(starts, stops)
        arrays = (np.concatenate(tokens), np.concatenate(starts), np.concatenate(stops))
        return cls(*map(torch.from_numpy, (order, *arrays, child_start, child_stop)))


def _refuse_clashes(
    changed: npt.NDArray[np.bool_], lengths: npt.NDArray[np.int64], order: npt.NDArray[np.int64]
) -> None:
    last = np.arange(len(order) - 1), lengths[:-1] - 1
    clashes = np.flatnonzero(~changed[1:][last])
    if clashes.size:
        first, second = (int(order[clashes[0] + step]) for step in (0, 1))
        raise SpellingError(
            f"the spelling of item {first} equals, or begins, that of item {second}: "
            "every item needs a spelling of its own, and none may begin with another"
        )


def _number_children(
    starts: list[npt.NDArray[np.int64]], stops: list[npt.NDArray[np.int64]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    first, last = [], []
    offset = 0
    for depth, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        offset += len(start)
        below = starts[depth + 1] if depth + 1 < len(starts) else np.array([], dtype=np.int64)
        first.append(offset + np.searchsorted(below, start))
        last.append(offset + np.searchsorted(below, stop))
    return np.concatenate(first), np.concatenate(last)

"""The catalog as a path-compressed trie over token ids; it knows nothing of text, models or users.

Spellings are sorted, so that every node owns a contiguous range of leaves. Only branching nodes are
stored; the tokens between two of them, or down to a leaf, are a run that an edge carries.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from rec_gen.decoding.ragged import ragged
from rec_gen.decoding.trie_arrays import Ints, trie_arrays
from rec_gen.errors import BundleError, SpellingError

FORMAT = "rec_gen-trie-1"


@dataclass(frozen=True)
class CatalogTrie:
    """All spellings of a catalog. All tensors are int32, but for the lengths of runs.

    Attributes:
        items: [leaves], the catalog position of each leaf, in the order of the spellings.
        edge_start: [nodes + 1], the first edge of each branching node; node 0 is the root.
        leaf_start: [nodes], the first leaf below a node.
        leaf_stop: [nodes], one past the last leaf below a node.
        token: [edges], the token that chooses an edge.
        target: [edges], the node that an edge leads to; for a leaf, its complement `~leaf`.
        run_start: [nodes], where the runs of a node's edges begin in `runs`.
        run_length: int16 [edges], how many tokens are forced after the one that chooses an edge.
        runs: [tokens], the forced tokens of all edges, edge after edge.
    """

    items: torch.Tensor
    edge_start: torch.Tensor
    leaf_start: torch.Tensor
    leaf_stop: torch.Tensor
    token: torch.Tensor
    target: torch.Tensor
    run_start: torch.Tensor
    run_length: torch.Tensor
    runs: torch.Tensor

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def leaf_of(self) -> npt.NDArray[np.int32]:
        """The leaf of each catalog position, int32 [items], on the host; made once."""
        leaf_of = np.empty(len(self), np.int32)
        leaf_of[self.items.numpy(force=True)] = np.arange(len(self), dtype=np.int32)
        return leaf_of

    @property
    def bytes(self) -> int:
        """The size of all tensors."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    def to(self, device: torch.device) -> "CatalogTrie":
        """The same trie on another device."""
        return CatalogTrie(*(getattr(self, field.name).to(device) for field in fields(self)))

    def save(self, path: Path) -> None:
        """Write a file that `load` reads."""
        tensors = {field.name: getattr(self, field.name).cpu() for field in fields(self)}
        save_file(tensors, path, {"format": FORMAT, "checksum": _checksum(tensors)})

    @classmethod
    def load(cls, path: Path) -> "CatalogTrie":
        """Read a file that `save` wrote; what becomes of it later changes nothing.

        Raises:
            BundleError: The file is missing, truncated, damaged or something else.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise BundleError(f"{path}: is not a {FORMAT} file; build the trie again")
                names = [field.name for field in fields(cls)]
                tensors = {name: file.get_tensor(name).clone() for name in names}  # not mapped
        except (OSError, SafetensorError) as error:
            raise BundleError(f"{path}: cannot be read as a trie: {error}") from error
        if _checksum(tensors) != metadata.get("checksum"):
            raise BundleError(f"{path}: is damaged; build the trie again")
        return cls(**tensors)

    @classmethod
    def build(cls, spellings: Sequence[npt.NDArray[np.int32]]) -> "CatalogTrie":
        """Build from one array of token ids for each catalog position.

        Raises:
            SpellingError: There is no item, a spelling is empty, two items share a spelling, or
                one spelling begins with another.
        """
        if not len(spellings):
            raise SpellingError("the catalog is empty: a trie needs at least one item")
        lengths = np.fromiter(map(len, spellings), np.int64, len(spellings))
        return cls.build_ragged(np.concatenate(spellings), lengths)

    @classmethod
    def build_ragged(cls, flat: npt.NDArray[np.int32], lengths: Ints) -> "CatalogTrie":
        """Build from all token ids in one array and the length of each spelling."""
        arrays = trie_arrays(flat, lengths)
        return cls(**{name: torch.from_numpy(array) for name, array in arrays.items()})

    def edges(self, nodes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """All edges below nodes, and for each the index of its node; int32 [edges].

        Args:
            nodes: int32 or int64 [nodes].
        """
        first = self.edge_start.index_select(0, nodes)
        return ragged(self.edge_start.index_select(0, nodes + 1) - first, first)

    def leaves(self, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The range of leaves below targets, int32 [targets] each: first and one past the last."""
        node, at_leaf = targets.clamp(min=0), targets < 0
        start = torch.where(at_leaf, ~targets, self.leaf_start.index_select(0, node))
        stop = torch.where(at_leaf, -targets, self.leaf_stop.index_select(0, node))
        return start, stop

    def run_begins(
        self, nodes: torch.Tensor, owner: torch.Tensor, edges: torch.Tensor
    ) -> torch.Tensor:
        """Where the forced tokens of each edge begin in `runs`; int64 [edges].

        Args:
            nodes: int32 or int64 [nodes].
            owner: int32 [edges], as `edges` gives it for these nodes.
            edges: int32 [edges], as `edges` gives them.
        """
        node = nodes.index_select(0, owner)
        lengths = self.run_length.index_select(0, edges).long()
        before = lengths.cumsum(0) - lengths
        place = torch.arange(len(edges), device=edges.device)
        first = place - (edges - self.edge_start.index_select(0, node))
        return self.run_start.index_select(0, node) + before - before.index_select(0, first)


def _checksum(tensors: dict[str, torch.Tensor]) -> str:
    digest = blake2b(digest_size=16)
    for name in sorted(tensors):
        digest.update(np.ascontiguousarray(tensors[name].numpy()).data)
    return digest.hexdigest()

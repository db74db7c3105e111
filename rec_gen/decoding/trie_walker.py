"""Walking a trie token by token, on the host: what may follow what was written."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from rec_gen.decoding.trie import CatalogTrie

Tokens = npt.NDArray[np.int32]


class TrieWalker:
    """A trie that is asked for the tokens after one prefix at a time.

    Attributes:
        longest: The tokens of the longest spelling.
        tokens: int32, all tokens of all spellings, sorted.
    """

    def __init__(self, trie: CatalogTrie) -> None:
        self.longest = _longest(trie)
        self.tokens: Tokens = np.unique(torch.cat([trie.token, trie.runs]).numpy(force=True))
        self._first, self._token, self._target, self._run_start, self._run_length, self._runs = (
            column.numpy(force=True)
            for column in (
                trie.edge_start, trie.token, trie.target, trie.run_start, trie.run_length,
                trie.runs,
            )
        )  # fmt: skip

    def next_tokens(self, prefix: Sequence[int]) -> Tokens:
        """The tokens that may follow, int32, sorted.

        Returns:
            None at all where the prefix is a whole spelling, goes on after one, or begins none.
        """
        node, place, nothing = 0, 0, self._token[:0]
        while place < len(prefix):
            start, stop = self._first[node], self._first[node + 1]
            edge = start + self._token[start:stop].searchsorted(prefix[place])
            if edge == stop or self._token[edge] != prefix[place]:
                return nothing
            place += 1
            begin = self._run_start[node] + self._run_length[start:edge].sum(dtype=np.int64)
            run = self._runs[begin : begin + self._run_length[edge]]
            written = prefix[place : place + len(run)]
            if not np.array_equal(run[: len(written)], written):
                return nothing
            if len(written) < len(run):
                return run[len(written) : len(written) + 1]
            place += len(run)
            node = self._target[edge]
            if node < 0:
                return nothing
        return self._token[self._first[node] : self._first[node + 1]]


def _longest(trie: CatalogTrie) -> int:
    nodes, depths, longest = torch.zeros(1, dtype=torch.int32), torch.zeros(1).long(), 0
    nodes, depths = nodes.to(trie.token.device), depths.to(trie.token.device)
    while len(nodes):
        owner, edges = trie.edges(nodes)
        reached = depths[owner] + 1 + trie.run_length[edges]
        longest = max(longest, int(reached.max()))
        target = trie.target[edges]
        nodes, depths = target[target >= 0], reached[target >= 0]
    return longest

"""The edges of the trie that lead to eligible items."""

from typing import NamedTuple

import torch

from rec_gen.decoding.filters import EligibleLeaves
from rec_gen.decoding.trie import CatalogTrie


class LiveEdges(NamedTuple):
    """Edges below nodes, node after node; int64 [edges] each.

    Attributes:
        owner: The index of the edge's node.
        edge: The edge.
        token: The token that chooses the edge.
        target: The node that it leads to; for a leaf, its complement.
        start: The first leaf below it.
        stop: One past the last leaf below it.
        live: How many of these leaves are eligible.
        run: Where the tokens that are forced after the first begin in the trie's runs.
        left: How many they are.
    """

    owner: torch.Tensor
    edge: torch.Tensor
    token: torch.Tensor
    target: torch.Tensor
    start: torch.Tensor
    stop: torch.Tensor
    live: torch.Tensor
    run: torch.Tensor
    left: torch.Tensor


def live_edges(
    trie: CatalogTrie, leaves: EligibleLeaves, requests: torch.Tensor, nodes: torch.Tensor
) -> LiveEdges:
    """The edges below nodes with an eligible leaf.

    Args:
        trie: The catalog.
        leaves: The items that each request may return.
        requests: int64 [nodes], whose nodes they are.
        nodes: int64 [nodes].
    """
    owner, edge = trie.edges(nodes)
    start, stop = trie.leaves(trie.target.index_select(0, edge))
    live = leaves.count(requests.index_select(0, owner), start, stop)
    run = trie.run_begins(nodes, owner, edge)
    alive = (live > 0).nonzero()[:, 0]
    owner, edge, start, stop, live, run = (
        part.index_select(0, alive).long() for part in (owner, edge, start, stop, live, run)
    )
    token, target, left = (
        column.index_select(0, edge).long() for column in (trie.token, trie.target, trie.run_length)
    )
    return LiveEdges(owner, edge, token, target, start, stop, live, run, left)

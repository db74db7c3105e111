"""All that a search can ask for, in one reading: for catalogs so small that this is cheaper."""

import torch

from rec_gen.decoding.edges import live_edges
from rec_gen.decoding.filters import EligibleLeaves
from rec_gen.decoding.ragged import ragged
from rec_gen.decoding.runtime import Frontier, Session
from rec_gen.decoding.trie import CatalogTrie

LIMIT = 1024
"""Tokens of a batch that are read ahead at most; `docs/experiments.md` has the break-even."""

Runs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def read_ahead(
    session: Session, roots: torch.Tensor, trie: CatalogTrie, leaves: EligibleLeaves, *, tails: bool
) -> Session:
    """Read the eligible part of a trie below each prompt, if it has few tokens.

    Args:
        session: Prompts that were read, and nothing below them.
        roots: int64 [prompts], the slots at their ends.
        trie: The catalog.
        leaves: The items that each request may return.
        tails: The search also asks for the tokens after the last choice.

    Returns:
        A session that answers from what it has read, or the same one where that would be too much.
    """
    if leaves.total > LIMIT:
        return session
    runs = _runs(roots, trie, leaves, tails=tails)
    return session if runs is None else _Ahead(session, *runs)


class _Ahead:
    def __init__(
        self, session: Session, parents: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor
    ) -> None:
        self.start, self.logits, self.table, self.normalizers = (
            session.start, session.logits, session.table, session.normalizers,
        )  # fmt: skip
        self._read = session.extend(parents, tokens, lengths)
        slots = self._read.slots
        above = torch.cat([slots[:1], slots[:-1]])
        above[lengths.cumsum(0) - lengths] = parents
        keys = zip(above.tolist(), tokens.tolist(), strict=True)
        self._slots = dict(zip(keys, slots.tolist(), strict=True))

    def extend(
        self, parents: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor
    ) -> Frontier:
        """Find runs of tokens among those that were read."""
        found, rest = [], iter(tokens.tolist())
        for slot, length in zip(parents.tolist(), lengths.tolist(), strict=True):
            for _ in range(length):
                slot = self._slots[slot, next(rest)]
                found.append(slot)
        slots = torch.tensor(found, device=tokens.device)
        return Frontier(self._read.hidden[slots - self._read.slots[0]], slots)


def _runs(
    roots: torch.Tensor, trie: CatalogTrie, leaves: EligibleLeaves, *, tails: bool
) -> Runs | None:
    """Parents, tokens and lengths of all runs, request after request; None if they are many."""
    request = torch.arange(len(roots), device=roots.device)
    node, above = torch.zeros_like(request), torch.full_like(request, -1)
    levels, known, total = [], 0, 0
    while len(node):
        edges = live_edges(trie, leaves, request, node)
        read = edges.left + (edges.target >= 0)  # an item's last token is not read
        wanted = (edges.live > (0 if tails else 1)) & (read > 0)
        owner, target, read = edges.owner[wanted], edges.target[wanted], read[wanted]
        levels.append((request[owner], above[owner], edges.token[wanted], edges.run[wanted], read))
        runs = known + torch.arange(len(owner), device=owner.device)
        inner = target >= 0
        request, node, above = request[owner][inner], target[inner], runs[inner]
        known, total = known + len(owner), total + int(read.sum())
        if total > LIMIT:
            return None
    if not total:
        return None
    request, above, token, begin, read = (torch.cat(column) for column in zip(*levels, strict=True))
    order = request.argsort(stable=True)
    begin, read = begin[order], read[order]
    first = roots.max() + 1  # slots are numbered in the order of reading
    last = torch.empty_like(order).index_put_((order,), first + read.cumsum(0) - 1)
    parents = torch.where(above < 0, roots[request], last[above])[order]
    run, place = ragged(read, begin - 1)
    forced = place >= begin[run]
    tokens = token[order].repeat_interleave(read)
    tokens[forced] = trie.runs[place[forced]].long()
    return parents, tokens, read

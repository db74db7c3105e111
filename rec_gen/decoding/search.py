"""Search inside the trie: k distinct eligible items for each request, or all there are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import torch

from rec_gen.decoding.filters import EligibleLeaves
from rec_gen.decoding.ragged import ragged
from rec_gen.decoding.read_ahead import read_ahead
from rec_gen.decoding.rows import Rows
from rec_gen.decoding.runtime import Frontier, Runtime
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import DecodingError, ModelError

Score = Literal["lm", "catalog"]

TAIL = 2
"""Forced tokens on the way to one item that are read at once; then it is compared again."""


@dataclass(frozen=True)
class SearchResult:
    """The answer to one request, best first.

    Attributes:
        items: Distinct catalog positions.
        scores: The log-probability of each item.
        certified: No other eligible item is likelier than the last one.
    """

    items: list[int]
    scores: list[float]
    certified: bool


def search(
    runtime: Runtime,
    prompts: Sequence[Sequence[int]],
    trie: CatalogTrie,
    leaves: EligibleLeaves,
    k: int,
    beam_width: int,
    score: Score = "lm",
    *,
    exact: bool = False,
) -> list[SearchResult]:
    """Find the items that the model thinks likeliest after each prompt.

    Scores only fall along a path. A finished item therefore leaves the beam for good, a prefix
    worse than the k-th finished item is dropped, and the search ends when no prefix is left. As
    every kept prefix leads to an eligible item, at least `k` are found if there are as many.

    Args:
        runtime: The model.
        prompts: Token ids, one prompt a request.
        trie: The catalog, on the runtime's device.
        leaves: Which items each request may return.
        k: How many items to return.
        beam_width: Prefixes that go on at once for each request; never fewer than `k`.
        score: `lm` sums full-vocabulary log-probabilities; `catalog` renormalises each step over
            the live children, so that forced tokens cost nothing.
        exact: Keep the prefixes that a beam would prune, and go on with the best of them until
            none can beat the k-th item.

    Raises:
        DecodingError: `k` is less than 1.
        ModelError: The model gives NaN or infinite scores.
    """
    if k < 1:
        raise DecodingError(f"k is {k}: ask for at least 1 item")
    k = min(k, len(trie))
    run = _Search(runtime, prompts, trie, leaves, k, max(beam_width, k), score)
    return run.results(exact)


class _Search:
    def __init__(
        self,
        runtime: Runtime,
        prompts: Sequence[Sequence[int]],
        trie: CatalogTrie,
        leaves: EligibleLeaves,
        k: int,
        width: int,
        score: Score,
    ) -> None:
        self._name = runtime.name
        session = runtime.read(prompts)
        self._start = session.start()
        self._session = read_ahead(session, self._start.slots, trie, leaves, tails=score == "lm")
        self._trie, self._leaves = trie, leaves
        self._k, self._width, self._score = k, width, score
        self._count = len(prompts)
        self._found = Rows.empty(runtime.device)
        self._open = Rows.empty(runtime.device)
        self._tails = Rows.empty(runtime.device)
        self._best_pruned = torch.full(
            (self._count,), -torch.inf, dtype=torch.float64, device=runtime.device
        )

    def results(self, exact: bool) -> list[SearchResult]:
        """Run to the end."""
        requests = torch.arange(self._count, device=self._best_pruned.device)
        self._branch(self._start, requests, Rows.at_root(requests))
        while len(chosen := self._choose_any() if exact else self._choose()):
            self._advance(chosen)
        certified = self._last_scores(1) >= self._best_pruned
        return _results(self._found, self._trie, certified)

    def _choose(self) -> Rows:
        """The rows that are read next; open rows beyond the beam are pruned.

        A row that leads to one item only needs no more choice: it waits among the tails for its
        turn, the best first, and most never have it.
        """
        rows, rank = self._promising(self._open).ranked()
        chosen, pruned = rows[rank < self._width], rows[rank >= self._width]
        self._best_pruned.scatter_reduce_(0, pruned.request, pruned.score, "amax")
        decided = chosen.target < 0
        tails, rank = self._promising(self._tails.join(chosen[decided])).ranked()
        self._open, self._tails = rows[:0], tails[rank >= self._k]
        return chosen[~decided].join(tails[rank < self._k]).by_request()

    def _choose_any(self) -> Rows:
        """The best rows of all, for an exact search: none is pruned."""
        rows, rank = self._promising(self._open.join(self._tails)).ranked()
        self._open, self._tails = rows[rank >= self._width], rows[:0]
        return rows[rank < self._width]

    def _promising(self, rows: Rows) -> Rows:
        """The rows that may still lead to one of the best `k` items."""
        return rows[rows.score >= self._last_scores(self._k)[rows.request]]

    def _advance(self, rows: Rows) -> None:
        """Read the tokens of rows: all on the way to a node, the next few on the way to an item."""
        decided = rows.target < 0
        scored = torch.where(decided, rows.left.clamp(max=TAIL), rows.left)
        read = scored + ~decided  # the last token of an item need not be read
        stops = read.cumsum(0)
        owner, place = ragged(scored, rows.run)
        forced = self._trie.runs.index_select(0, place).long()
        after = (stops - read - rows.run)[owner] + place  # the token that each of them follows
        tokens = rows.token.repeat_interleave(read)
        inside = after + 1 < stops[owner]
        tokens[after[inside] + 1] = forced[inside]
        frontier = self._session.extend(rows.slot, tokens, read)
        if self._score == "lm":
            steps = self._log_probabilities(frontier, after, forced)
            rows = replace(rows, score=rows.score.index_add(0, owner, steps))
            self._refuse_nan(rows.score)
        self._branch(frontier, stops[~decided] - 1, rows[~decided])
        rows, scored = rows[decided], scored[decided]
        tails = replace(
            rows,
            slot=frontier.slots[stops[decided] - 1],
            token=self._trie.runs[rows.run + scored - 1].long(),
            run=rows.run + scored,
            left=rows.left - scored,
        )
        done = tails.left == 0
        self._tails = self._tails.join(tails[~done])
        self._finish(tails[done], ~tails.target[done])

    def _branch(self, frontier: Frontier, ends: torch.Tensor, nodes: Rows) -> None:
        """Score the live edges of nodes; `ends` are the nodes' rows in the frontier."""
        trie = self._trie
        parent, edge = trie.edges(nodes.target)
        start, stop = trie.leaves(trie.target.index_select(0, edge))
        live = self._leaves.count(nodes.request.index_select(0, parent), start, stop)
        run = trie.run_begins(nodes.target, parent, edge)
        alive = (live > 0).nonzero()[:, 0]
        parent, edge, start, stop, live, run = (
            part.index_select(0, alive).long() for part in (parent, edge, start, stop, live, run)
        )
        token, target = trie.token[edge].long(), trie.target[edge].long()
        left = trie.run_length[edge].long()
        if self._score == "lm":
            step = self._log_probabilities(frontier, ends[parent], token)
            done = (target < 0) & (left == 0)
        else:
            logits = self._session.logits(frontier.hidden, ends[parent], token).double()
            step = logits - _group_logsumexp(logits, parent, len(nodes))[parent]
            done = live == 1
        score = nodes.score[parent] + step
        self._refuse_nan(score)
        slot = frontier.slots[ends][parent]
        rows = Rows(nodes.request[parent], target, score, slot, token, run, left)
        self._open = self._open.join(rows[~done])
        items = rows[done]
        self._finish(items, self._leaves.first(items.request, start[done], stop[done]))

    def _finish(self, items: Rows, leaves: torch.Tensor) -> None:
        """Take rows that have arrived at leaves, and keep the best."""
        rows, rank = self._found.join(replace(items, target=leaves)).ranked()
        self._found = rows[rank < self._k]

    def _log_probabilities(
        self, frontier: Frontier, places: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        """The log-probability of tokens in the whole vocabulary, float64 [pairs]."""
        used, place = torch.unique(places, return_inverse=True)
        total = self._session.normalizers(frontier.hidden[used]).double()
        return self._session.logits(frontier.hidden, places, tokens).double() - total[place]

    def _last_scores(self, k: int) -> torch.Tensor:
        """The score of each request's worst found item; -inf where fewer than `k` are found."""
        worst = torch.full_like(self._best_pruned, torch.inf)
        worst.scatter_reduce_(0, self._found.request, self._found.score, "amin")
        enough = torch.bincount(self._found.request, minlength=self._count) >= k
        return torch.where(enough, worst, -torch.inf)

    def _refuse_nan(self, scores: torch.Tensor) -> None:
        if not bool(torch.isfinite(scores[scores != -torch.inf]).all()):
            raise ModelError(f"{self._name}: the model gives NaN or infinity as a score")


def _group_logsumexp(values: torch.Tensor, group: torch.Tensor, groups: int) -> torch.Tensor:
    top = values.new_full((groups,), -torch.inf).scatter_reduce_(0, group, values, "amax")
    sums = values.new_zeros(groups).index_add_(0, group, (values - top[group]).exp())
    return top + sums.log()


def _results(found: Rows, trie: CatalogTrie, certified: torch.Tensor) -> list[SearchResult]:
    items, scores = iter(trie.items[found.target].tolist()), iter(found.score.tolist())
    sizes = torch.bincount(found.request, minlength=len(certified)).tolist()
    return [
        SearchResult(list(islice(items, size)), list(islice(scores, size)), sure)
        for size, sure in zip(sizes, certified.tolist(), strict=True)
    ]

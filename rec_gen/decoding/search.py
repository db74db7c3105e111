"""Search inside the trie: k distinct eligible items for each request, or all there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch

from rec_gen.decoding.filters import EligibleLeaves
from rec_gen.decoding.ragged import ragged
from rec_gen.decoding.rows import Rows
from rec_gen.decoding.runtime import Frontier, Runtime, Session
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import DecodingError, ModelError

Score = Literal["lm", "catalog"]


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
        self._session: Session = runtime.read(prompts)
        self._trie, self._leaves = trie, leaves
        self._k, self._width, self._score = k, width, score
        self._count = len(prompts)
        self._found = Rows.empty(runtime.device)
        self._open = Rows.empty(runtime.device)
        self._best_pruned = torch.full(
            (self._count,), -torch.inf, dtype=torch.float64, device=runtime.device
        )

    def results(self, exact: bool) -> list[SearchResult]:
        """Run to the end."""
        frontier = self._session.start()
        requests = torch.arange(self._count, device=frontier.slots.device)
        scores = torch.zeros(self._count, dtype=torch.float64, device=requests.device)
        self._branch(frontier, requests, Rows.at_root(requests, scores))
        while len(chosen := self._choose(exact)):
            self._advance(chosen)
        certified = self._last_scores(1) >= self._best_pruned
        return _results(self._found, self._trie, certified)

    def _choose(self, exact: bool) -> Rows:
        """The open rows that are read next; the others are pruned, or kept when `exact`."""
        last = self._last_scores(self._k)
        rows, rank = self._open[self._open.score >= last[self._open.request]].ranked()
        rest = rows[rank >= self._width]
        if exact:
            self._open = rest
        else:
            self._best_pruned.scatter_reduce_(0, rest.request, rest.score, "amax")
            self._open = rows[:0]
        return rows[rank < self._width]

    def _advance(self, rows: Rows) -> None:
        """Read the tokens of the chosen rows, then finish items and branch nodes."""
        forced, lengths = self._trie.forced(rows.edge)
        at_leaf = rows.target < 0
        read = lengths + 1 - at_leaf.long()  # the last token of an item need not be read
        starts = read.cumsum(0) - read
        run, place = ragged(lengths)
        after = starts[run] + place  # the token that each forced token follows
        tokens = rows.token.new_empty(int(read.sum()))
        tokens[starts] = rows.token
        inside = place + 1 < read[run]
        tokens[(after + 1)[inside]] = forced[inside]
        frontier = self._session.extend(rows.request, rows.slot, tokens, read)
        if self._score == "lm":
            steps = self._log_probabilities(frontier, after, forced)
            rows = rows.plus(torch.zeros_like(rows.score).index_add_(0, run, steps))
            self._refuse_nan(rows.score)
        items = rows[at_leaf]
        self._found = self._keep_best(self._found.join(items.at_leaves(~items.target)))
        self._branch(frontier, (starts + read - 1)[~at_leaf], rows[~at_leaf])

    def _branch(self, frontier: Frontier, ends: torch.Tensor, nodes: Rows) -> None:
        """Score the live edges of nodes; `ends` are the nodes' rows in the frontier."""
        parent, edge = self._trie.edges(nodes.target)
        target = self._trie.target[edge].long()
        start, stop = self._trie.leaves(target)
        live = self._leaves.count(nodes.request[parent], start, stop)
        alive = live > 0
        parent, edge, target, live, start, stop = (
            part[alive] for part in (parent, edge, target, live, start, stop)
        )
        token = self._trie.token[edge].long()
        if self._score == "lm":
            step = self._log_probabilities(frontier, ends[parent], token)
            done = (target < 0) & (self._trie.run_length[edge] == 0)
        else:
            logits = self._session.logits(frontier.hidden, ends[parent], token).double()
            step = logits - _group_logsumexp(logits, parent, len(nodes))[parent]
            done = live == 1
        score = nodes.score[parent] + step
        self._refuse_nan(score)
        slot = frontier.slots[ends][parent]
        rows = Rows(nodes.request[parent], target, score, slot, token, edge)
        items = rows[done]
        leaf = self._leaves.first(items.request, start[done], stop[done])
        self._found = self._keep_best(self._found.join(items.at_leaves(leaf)))
        self._open = self._open.join(rows[~done])

    def _log_probabilities(
        self, frontier: Frontier, places: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        """The log-probability of tokens in the whole vocabulary, float64 [pairs]."""
        used, place = torch.unique(places, return_inverse=True)
        total = self._session.normalizers(frontier.hidden[used]).double()
        return self._session.logits(frontier.hidden, places, tokens).double() - total[place]

    def _keep_best(self, rows: Rows) -> Rows:
        rows, rank = rows.ranked()
        return rows[rank < self._k]

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

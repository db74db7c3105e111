"""Beam search inside the trie: k distinct eligible items for each request, or all there are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import torch

from rec_gen.decoding.filters import EligibleLeaves
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import DecodingError, ModelError

Score = Literal["lm", "catalog"]


@dataclass(frozen=True)
class SearchResult:
    """The answer to one request, best first.

    Attributes:
        items: Distinct catalog positions.
        scores: The log-probability of each item.
        certified: No prefix that the beam pruned could have beaten the last item.
    """

    items: list[int]
    scores: list[float]
    certified: bool


@dataclass(frozen=True)
class _Rows:
    """Scored rows of several requests.

    Attributes:
        request: int64 [rows].
        place: int64 [rows], a trie node on the way, or the leaf that was reached.
        score: float64 [rows], the log-probability so far.
        parent: int64 [rows], the row of the frontier that it grew from.
    """

    request: torch.Tensor
    place: torch.Tensor
    score: torch.Tensor
    parent: torch.Tensor

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, index: torch.Tensor) -> "_Rows":
        return _Rows(*(column[index] for column in self._columns()))

    def _columns(self) -> tuple[torch.Tensor, ...]:
        return self.request, self.place, self.score, self.parent

    def join(self, other: "_Rows") -> "_Rows":
        pairs = zip(self._columns(), other._columns(), strict=True)
        return _Rows(*(torch.cat(pair) for pair in pairs))

    def ranked(self) -> tuple["_Rows", torch.Tensor]:
        """The rows by request and best first, with each row's rank in its request."""
        order = self.score.argsort(descending=True, stable=True)
        order = order[self.request[order].argsort(stable=True)]
        rows = self[order]
        first = torch.searchsorted(rows.request, rows.request)
        return rows, torch.arange(len(rows), device=order.device) - first


def beam_search(
    runtime: Runtime,
    prompts: Sequence[Sequence[int]],
    trie: CatalogTrie,
    eligible: torch.Tensor,
    k: int,
    beam_width: int,
    score: Score,
) -> list[SearchResult]:
    """Find the items that the model thinks likeliest after each prompt.

    Scores only fall along a path. A finished item therefore leaves the beam for good, a prefix
    worse than the k-th finished item is dropped, and the search ends when no prefix is left. As
    every kept prefix leads to an eligible item, at least `k` are found if there are as many.

    Args:
        runtime: The model.
        prompts: Token ids, one prompt a request.
        trie: The catalog, on the runtime's device.
        eligible: bool [requests, items], by catalog position.
        k: How many items to return.
        beam_width: Prefixes to keep for each request; never fewer than `k` are kept.
        score: `lm` sums full-vocabulary log-probabilities; `catalog` renormalises each step over
            the live children, so that forced tokens cost nothing.

    Raises:
        NoEligibleItemError: A request has no eligible item.
        ModelError: The model gives NaN or infinite scores.
    """
    if k < 1:
        raise DecodingError(f"k is {k}: ask for at least 1 item")
    leaves = EligibleLeaves(trie, eligible.to(runtime.device))
    count, width = len(prompts), max(beam_width, k)
    requests = torch.arange(count, device=runtime.device)
    zeros = torch.zeros(count, dtype=torch.float64, device=runtime.device)
    beams = _Rows(requests, torch.zeros_like(requests), zeros, requests)
    found = beams[requests[:0]]
    best_pruned = torch.full_like(zeros, -torch.inf)
    frontier = runtime.prefill(prompts)
    while True:
        children, live = _expand(beams, frontier.logits, trie, leaves, score)
        if not bool(torch.isfinite(children.score[children.score != -torch.inf]).all()):
            raise ModelError(f"{runtime.name}: the model gives NaN or infinity as a score")
        finished, beams = _finish(children, live, trie, leaves, score)
        found, rank = found.join(finished).ranked()
        found = found[rank < k]
        beams, rank = beams.ranked()
        pruned = beams[rank >= width]
        best_pruned.scatter_reduce_(0, pruned.request, pruned.score, "amax")
        beams = beams[rank < width]
        beams = beams[beams.score >= _last_scores(found, k, count)[beams.request]]
        if not len(beams):
            return _results(found, trie, _last_scores(found, 1, count) >= best_pruned)
        frontier = runtime.extend(frontier, beams.parent, trie.tokens[beams.place])


def _expand(
    beams: _Rows, logits: torch.Tensor, trie: CatalogTrie, leaves: EligibleLeaves, score: Score
) -> tuple[_Rows, torch.Tensor]:
    """All live children of the beams, scored, and the number of eligible leaves below each."""
    first = trie.child_start[beams.place]
    counts = trie.child_stop[beams.place] - first
    parent = torch.arange(len(beams), device=first.device).repeat_interleave(counts)
    skipped = counts.cumsum(0) - counts
    nodes = torch.arange(len(parent), device=first.device) + (first - skipped)[parent]
    live = leaves.count(beams.request[parent], trie.leaf_start[nodes], trie.leaf_stop[nodes])
    alive = live > 0
    parent, nodes, live = parent[alive], nodes[alive], live[alive]
    step = logits[parent, trie.tokens[nodes]].double()
    if score == "lm":
        step = step - logits.double().logsumexp(dim=1)[parent]
    else:
        step = step - _group_logsumexp(step, parent, len(beams))[parent]
    return _Rows(beams.request[parent], nodes, beams.score[parent] + step, parent), live


def _group_logsumexp(values: torch.Tensor, group: torch.Tensor, groups: int) -> torch.Tensor:
    top = values.new_full((groups,), -torch.inf).scatter_reduce_(0, group, values, "amax")
    sums = values.new_zeros(groups).index_add_(0, group, (values - top[group]).exp())
    return top + sums.log()


def _finish(
    rows: _Rows, live: torch.Tensor, trie: CatalogTrie, leaves: EligibleLeaves, score: Score
) -> tuple[_Rows, _Rows]:
    """Split off the rows whose item is decided, with their leaf as the place."""
    start, stop = trie.leaf_start[rows.place], trie.leaf_stop[rows.place]
    if score == "catalog":
        done = live == 1
    else:
        done = trie.child_start[rows.place] == trie.child_stop[rows.place]
    finished = rows[done]
    leaf = leaves.first(finished.request, start[done], stop[done])
    return replace(finished, place=leaf), rows[~done]


def _last_scores(found: _Rows, k: int, requests: int) -> torch.Tensor:
    """The score of the worst found item of each request; -inf where fewer than `k` are found."""
    worst = found.score.new_full((requests,), torch.inf)
    worst.scatter_reduce_(0, found.request, found.score, "amin")
    enough = torch.bincount(found.request, minlength=requests) >= k
    return torch.where(enough, worst, -torch.inf)


def _results(found: _Rows, trie: CatalogTrie, certified: torch.Tensor) -> list[SearchResult]:
    items, scores = iter(trie.items[found.place].tolist()), iter(found.score.tolist())
    sizes = torch.bincount(found.request, minlength=len(certified)).tolist()
    return [
        SearchResult(list(islice(items, size)), list(islice(scores, size)), sure)
        for size, sure in zip(sizes, certified.tolist(), strict=True)
    ]

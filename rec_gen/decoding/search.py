"""Search inside the trie: k distinct eligible items for each request, or all there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch

from rec_gen.decoding.filters import EligibleLeaves
from rec_gen.decoding.pool import Cap, Pool
from rec_gen.decoding.ragged import group_logsumexp, group_max, ragged
from rec_gen.decoding.rows import Rows
from rec_gen.decoding.runtime import Frontier, Runtime, Session
from rec_gen.decoding.sampling import GumbelTree, Sampling
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import DecodingError, ModelError

Score = Literal["lm", "catalog"]


@dataclass(frozen=True)
class Ranking:
    """What decides beside the model which items come first; all of it can be combined.

    Attributes:
        sampling: Draw items without replacement, in proportion to their chance times the
            exponential of their bonus.
        cap: Take at most so many items of a category.
        bonus: float64 [1 or requests, items], by catalog position, added to each item's
            log-probability; finite.
    """

    sampling: Sampling | None = None
    cap: Cap | None = None
    bonus: torch.Tensor | None = None


LIKELIEST = Ranking()


@dataclass(frozen=True)
class SearchResult:
    """The answer to one request, best first; sampled items come in the order of their draw.

    Attributes:
        items: Distinct catalog positions.
        scores: The log-probability of each item at temperature 1, and its bonus.
        certified: No other eligible item comes before the last one; under a cap, none that would
            change the answer.
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
    ranking: Ranking = LIKELIEST,
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
        ranking: What else decides which items come first.

    Raises:
        DecodingError: `k` is less than 1.
        ModelError: The model gives NaN or infinite scores.
    """
    if k < 1:
        raise DecodingError(f"k is {k}: ask for at least 1 item")
    k = min(k, len(trie))
    run = _Search(runtime, prompts, trie, leaves, k, max(beam_width, k), score, ranking)
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
        ranking: Ranking,
    ) -> None:
        self._name = runtime.name
        self._session: Session = runtime.read(prompts)
        self._trie, self._leaves = trie, leaves
        self._width, self._score = width, score
        requests = torch.arange(len(prompts), device=runtime.device)
        self._root = Rows.at_root(requests, torch.zeros_like(requests, dtype=torch.float64))
        self._draws: GumbelTree | None = None
        if ranking.sampling is not None:
            self._draws = GumbelTree(ranking.sampling, prompts, runtime.device)
            self._root = self._draws.root(self._root)
        self._open = self._pruned = self._root[:0]
        self._capped = ranking.cap is not None
        self._pool = Pool(trie, leaves, self._open, k, len(prompts), ranking.cap, ranking.bonus)

    def results(self, exact: bool) -> list[SearchResult]:
        """Run to the end."""
        self._branch(self._session.start(), self._root.request, self._root)
        while len(chosen := self._choose(exact)):
            self._advance(chosen)
        pruned = group_max(self._pruned.score, self._pruned.request, len(self._root))
        return _results(self._pool, self._trie, self._pool.bars() >= pruned)

    def _choose(self, exact: bool) -> Rows:
        """The open rows that are read next; the others are pruned, or kept when `exact`."""
        bars = self._pool.bars()
        self._open = self._open[self._open.score >= bars[self._open.request]]
        if self._capped:
            self._take_back(bars == -torch.inf)
        rows, rank = self._open.ranked()
        if exact:
            self._open = rows[rank >= self._width]
        else:
            self._open = rows[:0]
            # without a cap, all that will be asked of the pruned rows is the best one's score
            rest = rank >= self._width if self._capped else rank == self._width
            self._pruned = self._pruned.join(rows[rest])
        return rows[rank < self._width]

    def _take_back(self, short: torch.Tensor) -> None:
        """Open the pruned rows of short requests whose beam ended, all in full categories."""
        ended = short & (torch.bincount(self._open.request, minlength=len(short)) == 0)
        back = ended[self._pruned.request]
        self._open = self._open.join(self._pruned[back])
        self._pruned = self._pruned[~back]

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
            self._refuse_nan(rows.log_prob)
        items = rows[at_leaf]
        self._pool.add(items.at_leaves(~items.target))
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
            step = logits - group_logsumexp(logits, parent, len(nodes))[parent]
            done = live == 1
        if self._draws is None:
            score, drawn = nodes.score[parent] + step, None
        else:
            score, drawn = self._draws.children(nodes, parent, edge, step)
        slot = frontier.slots[ends][parent]
        rows = Rows(nodes.request[parent], target, score, slot, token, edge, drawn)
        self._refuse_nan(rows.score)
        items = rows[done]
        leaf = self._leaves.first(items.request, start[done], stop[done])
        self._pool.add(items.at_leaves(leaf))
        self._open = self._open.join(rows[~done])

    def _log_probabilities(
        self, frontier: Frontier, places: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        """The log-probability of tokens in the whole vocabulary, float64 [pairs]."""
        used, place = torch.unique(places, return_inverse=True)
        total = self._session.normalizers(frontier.hidden[used]).double()
        return self._session.logits(frontier.hidden, places, tokens).double() - total[place]

    def _refuse_nan(self, scores: torch.Tensor) -> None:
        if not bool(torch.isfinite(scores[scores != -torch.inf]).all()):
            raise ModelError(f"{self._name}: the model gives NaN or infinity as a score")


def _results(pool: Pool, trie: CatalogTrie, certified: torch.Tensor) -> list[SearchResult]:
    items, scores = iter(trie.items[pool.rows.target].tolist()), iter(pool.log_probs().tolist())
    sizes = torch.bincount(pool.rows.request, minlength=len(certified)).tolist()
    return [
        SearchResult(list(islice(items, size)), list(islice(scores, size)), sure)
        for size, sure in zip(sizes, certified.tolist(), strict=True)
    ]

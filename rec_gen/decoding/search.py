"""Search inside the trie: k distinct eligible items for each request, or all there are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch

from rec_gen.decoding.edges import live_edges
from rec_gen.decoding.filters import EligibleLeaves
from rec_gen.decoding.pool import Cap, Pool
from rec_gen.decoding.ragged import group_logsumexp, group_max, ragged
from rec_gen.decoding.read_ahead import read_ahead
from rec_gen.decoding.rows import Rows
from rec_gen.decoding.runtime import Frontier, Runtime
from rec_gen.decoding.sampling import GumbelTree, Sampling
from rec_gen.decoding.score import Score
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import DecodingError, ModelError

TAIL = 2
"""Forced tokens on the way to one item that are read at least; then it is compared again."""
READING = 320
"""Tokens that tails are read by together if they have them: each reading costs some 45 more."""


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
        DecodingError: `k` is less than 1, or a prompt is empty.
        ModelError: The model gives NaN or infinite scores.
    """
    if k < 1:
        raise DecodingError(f"k is {k}: ask for at least 1 item")
    if not all(prompts):
        empty = [len(prompt) for prompt in prompts].index(0)
        raise DecodingError(f"request {empty}: the prompt has no token; give it at least one")
    if not prompts:
        return []
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
        session = runtime.read(prompts)
        self._start = session.start()
        self._session = read_ahead(session, self._start.slots, trie, leaves, tails=score == "lm")
        self._trie, self._leaves = trie, leaves
        self._width, self._score = width, score
        self._turns = max(k, width // 2)  # tails of a request that are read at once
        self._root = Rows.at_root(torch.arange(len(prompts), device=runtime.device))
        self._draws: GumbelTree | None = None
        if ranking.sampling is not None:
            self._draws = GumbelTree(ranking.sampling, prompts, runtime.device)
            self._root = self._draws.root(self._root)
        self._open = self._tails = self._pruned = self._root[:0]
        self._capped = ranking.cap is not None
        self._pool = Pool(trie, leaves, self._open, k, len(prompts), ranking.cap, ranking.bonus)

    def results(self, exact: bool) -> list[SearchResult]:
        """Run to the end."""
        self._branch(self._start, self._root.request, self._root)
        while len(chosen := self._choose_any() if exact else self._choose()):
            self._advance(chosen)
        pruned = group_max(self._pruned.score, self._pruned.request, len(self._root))
        return _results(self._pool, self._trie, self._pool.bars() >= pruned)

    def _choose(self) -> Rows:
        """The rows that are read next; open rows beyond the beam are pruned.

        A row that leads to one item only needs no more choice: it waits among the tails for its
        turn, the best first, and most never have it.
        """
        bars = self._pool.bars()
        if self._capped:
            self._take_back(bars == -torch.inf)
        rows, rank = _promising(self._open, bars).ranked()
        chosen = rows[rank < self._width]
        # without a cap, all that will be asked of the pruned rows is the best one's score
        pruned = rank >= self._width if self._capped else rank == self._width
        self._pruned = self._pruned.join(rows[pruned])
        decided = chosen.target < 0
        tails, rank = _promising(self._tails.join(chosen[decided]), bars).ranked()
        self._open, self._tails = rows[:0], tails[rank >= self._turns]
        return chosen[~decided].join(tails[rank < self._turns]).by_request()

    def _choose_any(self) -> Rows:
        """The best rows of all, for an exact search: none is pruned."""
        rows, rank = _promising(self._open.join(self._tails), self._pool.bars()).ranked()
        self._open, self._tails = rows[rank >= self._width], rows[:0]
        return rows[rank < self._width]

    def _take_back(self, short: torch.Tensor) -> None:
        """Open the pruned rows of short requests whose beam ended, all in full categories."""
        going = self._open.join(self._tails).request
        ended = short & (torch.bincount(going, minlength=len(short)) == 0)
        back = ended[self._pruned.request]
        self._open = self._open.join(self._pruned[back])
        self._pruned = self._pruned[~back]

    def _advance(self, rows: Rows) -> None:
        """Read the tokens of rows: all on the way to a node, the next few on the way to an item."""
        decided = rows.target < 0
        tail = max(TAIL, READING // max(int(decided.sum()), 1))
        scored = torch.where(decided, rows.left.clamp(max=tail), rows.left)
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
            rows = rows.plus(torch.zeros_like(rows.score).index_add_(0, owner, steps))
            self._refuse_unless(rows.log_prob < torch.inf)
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
        self._pool.add(tails[done].at_leaves(~tails.target[done]))

    def _branch(self, frontier: Frontier, ends: torch.Tensor, nodes: Rows) -> None:
        """Score the live edges of nodes; `ends` are the nodes' rows in the frontier."""
        edges = live_edges(self._trie, self._leaves, nodes.request, nodes.target)
        parent = edges.owner
        if self._score == "lm":
            step = self._log_probabilities(frontier, ends[parent], edges.token)
            done = (edges.target < 0) & (edges.left == 0)
        else:
            logits = self._session.logits(frontier.hidden, ends[parent], edges.token).double()
            step = logits - group_logsumexp(logits, parent, len(nodes))[parent]
            done = edges.live == 1
        if self._draws is None:
            score, drawn = nodes.score[parent] + step, None
        else:
            score, drawn = self._draws.children(nodes, parent, edges.edge, step)
        rows = Rows(
            nodes.request[parent],
            edges.target,
            score,
            frontier.slots[ends][parent],
            edges.token,
            edges.run,
            edges.left,
            drawn,
        )
        self._refuse_unless(rows.score < torch.inf)  # false for NaN
        self._open = self._open.join(rows[~done])
        items = rows[done]
        leaf = self._leaves.first(items.request, edges.start[done], edges.stop[done])
        self._pool.add(items.at_leaves(leaf))

    def _log_probabilities(
        self, frontier: Frontier, places: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        """The log-probability of tokens in the whole vocabulary, float64 [pairs]."""
        used, place = torch.unique(places, return_inverse=True)
        total = self._session.normalizers(frontier.hidden[used]).double()
        self._refuse_unless(total.isfinite())
        return self._session.logits(frontier.hidden, places, tokens).double() - total[place]

    def _refuse_unless(self, numbers: torch.Tensor) -> None:
        if not bool(numbers.all()):
            raise ModelError(f"{self._name}: the model gives NaN or infinity as a score")


def _promising(rows: Rows, bars: torch.Tensor) -> Rows:
    """The rows that may still lead to one of the best items."""
    return rows[rows.score >= bars[rows.request]]


def _results(pool: Pool, trie: CatalogTrie, certified: torch.Tensor) -> list[SearchResult]:
    items, scores = iter(trie.items[pool.rows.target].tolist()), iter(pool.log_probs().tolist())
    sizes = torch.bincount(pool.rows.request, minlength=len(certified)).tolist()
    return [
        SearchResult(list(islice(items, size)), list(islice(scores, size)), sure)
        for size, sure in zip(sizes, certified.tolist(), strict=True)
    ]

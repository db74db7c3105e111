"""Free text in which every item is found in the trie: tokens in turn, items by search.

Where a text opens an item, the search goes on below the tokens that were read, in the same session;
what it finds is read as one run, and the text goes on after it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.runtime import Frontier, Runtime, Session
from rec_gen.decoding.sampling import Sampling, request_key
from rec_gen.decoding.score import Score
from rec_gen.decoding.search import Ranking, search
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import DecodingError, ModelError, NoEligibleItemError

BEAM = 20
LONGEST_RUN = 8


@dataclass(frozen=True)
class TextTokens:
    """What a text is written with.

    Attributes:
        plain: int64 [tokens], ascending, the tokens of free text, on the runtime's device.
        opens: The token before an item.
        closes: The token after an item.
        ends: The token after a text.
    """

    plain: torch.Tensor
    opens: int
    closes: int
    ends: int


@dataclass(frozen=True)
class Limits:
    """How a text is written.

    Attributes:
        items: Most items that it names.
        tokens: After so many it ends; an item that was begun is still spelled, and one that is owed
            is still named.
        temperature: 0 takes the likeliest token and item; above, both are drawn.
        seed: The same seed and prompt draw the same; the rest of a batch changes nothing.
        score: What items are ranked by.
    """

    items: int
    tokens: int
    temperature: float
    seed: int
    score: Score

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise DecodingError(f"temperature is {self.temperature}: give a number of at least 0")


@dataclass
class Text:
    """A text as it is written.

    Attributes:
        pieces: The tokens of the free text, one piece more than there are items.
        items: Catalog positions and their log-probabilities; item n stands after piece n.
        tokens: How many were written, markers and end included.
    """

    pieces: list[list[int]] = field(default_factory=lambda: [[]])
    items: list[tuple[int, float]] = field(default_factory=list)
    tokens: int = 0


@dataclass
class _Row:
    path: list[int]
    leaves: LeafFilter
    blocked: list[int]
    left: int
    draws: np.random.Generator
    text: Text = field(default_factory=Text)

    def may_name(self, most: int) -> bool:
        return self.left > 0 and len(self.text.items) < most

    @property
    def owes_item(self) -> bool:
        return self.left > 0 and not self.text.items


def eligible(leaves: LeafFilter, blocked: Sequence[int]) -> int:
    """How many items one request may name."""
    try:
        return int(EligibleLeaves(leaves, [blocked]).total)
    except NoEligibleItemError:
        return 0


def repeating(written: Sequence[int]) -> list[int]:
    """The tokens that would say the same run of up to `LONGEST_RUN` three times in a row."""
    found = []
    for length in range(1, LONGEST_RUN + 1):
        last = [*written[-(3 * length - 1) :], *written[-length:][:1]]
        if len(last) == 3 * length and last[length:] == last[:-length]:
            found.append(last[-1])
    return found


def write(
    runtime: Runtime,
    prompts: Sequence[Sequence[int]],
    trie: CatalogTrie,
    spellings: Sequence[npt.NDArray[np.int32]],
    leaves: Sequence[LeafFilter],
    blocked: Sequence[Sequence[int]],
    tokens: TextTokens,
    limits: Limits,
) -> list[Text]:
    """Write a text after each prompt.

    An item may be opened while one is left that is eligible and was not named. A text that would
    end without any opens one first, so it names at least one item where there is one. Nothing is
    said three times in a row.

    Args:
        runtime: The model.
        prompts: Token ids, one prompt a request, none empty.
        trie: The catalog, on the runtime's device.
        spellings: int32 [length], the tokens of each catalog position.
        leaves: Which items each request may name.
        blocked: For each request, catalog positions that it may not name beside.
        tokens: What the text is made of.
        limits: How it is written.

    Raises:
        ModelError: The model gives NaN or infinite scores.
    """
    rows = [
        _Row(
            list(prompt),
            own,
            list(gone),
            eligible(own, gone),
            np.random.default_rng(request_key(limits.seed, prompt) & (1 << 64) - 1),
        )
        for prompt, own, gone in zip(prompts, leaves, blocked, strict=True)
    ]
    if rows:
        _Writer(runtime, trie, spellings, tokens, limits).write(rows)
    return [row.text for row in rows]


class _Writer:
    def __init__(
        self,
        runtime: Runtime,
        trie: CatalogTrie,
        spellings: Sequence[npt.NDArray[np.int32]],
        tokens: TextTokens,
        limits: Limits,
    ) -> None:
        self._runtime, self._trie, self._spellings = runtime, trie, spellings
        self._tokens, self._limits = tokens, limits
        special = torch.tensor([tokens.opens, tokens.ends], device=tokens.plain.device)
        self._choices = torch.cat([tokens.plain, special])

    def write(self, rows: list[_Row]) -> None:
        session = self._runtime.read([row.path for row in rows])
        frontier = session.start()
        while rows:
            chosen = self._choose(rows, session.table(frontier.hidden, self._choices))
            opens = [n for n, token in enumerate(chosen) if token == self._tokens.opens]
            goes = [n for n, token in enumerate(chosen) if token >= 0 and n not in set(opens)]
            order = [*goes, *opens]
            if not order:
                break
            # rows that open an item are read last: a search takes their slots for the latest ones
            frontier = self._read(session, frontier, order, [[chosen[n]] for n in order])
            for n in order:
                rows[n].path.append(chosen[n])
                rows[n].text.tokens += 1
            for n in goes:
                rows[n].text.pieces[-1].append(chosen[n])
            rows = [rows[n] for n in order]
            if opens:
                frontier = self._name(session, frontier, rows, len(goes))

    def _choose(self, rows: Sequence[_Row], scores: torch.Tensor) -> list[int]:
        """The next token of each row; -1 where its text is over."""
        if not bool(scores.isfinite().all()):
            raise ModelError(f"{self._runtime.name}: the model gives NaN or infinity as a score")
        scores = scores.double()
        silent = [not row.may_name(self._limits.items) for row in rows]
        scores[torch.tensor(silent, device=scores.device), -2] = -torch.inf
        for n, row in enumerate(rows):
            if over := repeating(row.text.pieces[-1]):
                banned = torch.tensor(over, device=scores.device)
                scores[n, torch.searchsorted(self._tokens.plain, banned)] = -torch.inf
        if self._limits.temperature:
            # the likeliest stays at 0 however near to 0 the temperature is
            below = (scores - scores.amax(1, keepdim=True)) / self._limits.temperature
            chances = below.softmax(1).cumsum(1).numpy(force=True)
            last = len(self._choices) - 1
            places = [
                min(int(np.searchsorted(chance, row.draws.random() * chance[-1], "right")), last)
                for row, chance in zip(rows, chances, strict=True)
            ]
        else:
            places = scores.argmax(1).tolist()
        chosen = self._choices[torch.tensor(places, device=scores.device)].tolist()
        for n, row in enumerate(rows):
            full = row.text.tokens >= self._limits.tokens
            if full or chosen[n] == self._tokens.ends:
                row.text.tokens += not full and not row.owes_item
                chosen[n] = self._tokens.opens if row.owes_item else -1
        return chosen

    def _name(
        self, session: Session, frontier: Frontier, rows: Sequence[_Row], first: int
    ) -> Frontier:
        """Find and read the items of all rows from one on, which have just opened them."""
        naming = rows[first:]
        below = _Below(
            self._runtime, session, Frontier(frontier.hidden[first:], frontier.slots[first:])
        )
        leaves = EligibleLeaves([row.leaves for row in naming], [row.blocked for row in naming])
        ranking = Ranking()
        if self._limits.temperature:
            ranking = Ranking(Sampling(self._limits.temperature, self._limits.seed))
        results = search(
            below,
            [row.path for row in naming],
            self._trie,
            leaves,
            1,
            min(BEAM, len(self._trie)),
            self._limits.score,
            ranking=ranking,
        )
        runs = []
        for row, result in zip(naming, results, strict=True):
            item = result.items[0]
            row.text.items.append((item, result.scores[0]))
            row.text.pieces.append([])
            row.blocked.append(item)
            row.left -= 1
            runs.append([*self._spellings[item].tolist(), self._tokens.closes])
            row.path += runs[-1]
            row.text.tokens += len(runs[-1])
        named = self._read(session, frontier, range(first, len(rows)), runs)
        return Frontier(
            torch.cat([frontier.hidden[:first], named.hidden]),
            torch.cat([frontier.slots[:first], named.slots]),
        )

    def _read(
        self, session: Session, frontier: Frontier, rows: Sequence[int], runs: Sequence[list[int]]
    ) -> Frontier:
        """Read a run below the end of each of some rows; what comes back are the new ends."""
        device = frontier.slots.device
        lengths = torch.tensor([len(run) for run in runs], device=device)
        flat = torch.tensor([token for run in runs for token in run], device=device)
        read = session.extend(frontier.slots[list(rows)], flat, lengths)
        ends = lengths.cumsum(0) - 1
        return Frontier(read.hidden[ends], read.slots[ends])


class _Below:
    """A session whose start is where texts stand, as a runtime that need not read again."""

    def __init__(self, runtime: Runtime, session: Session, frontier: Frontier) -> None:
        self.name, self.device, self._frontier = runtime.name, runtime.device, frontier
        self.extend, self.logits, self.table, self.normalizers = (
            session.extend, session.logits, session.table, session.normalizers,
        )  # fmt: skip

    def read(self, prompts: Sequence[Sequence[int]]) -> "_Below":
        return self

    def start(self) -> Frontier:
        return self._frontier

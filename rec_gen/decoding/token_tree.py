"""Which token follows which: prompts with a common beginning, and the runs read below them.

A token stands in a slot. Runs of tokens stand in consecutive slots, so what a token may see is a
few ranges of slots: its prompt, the runs above its own, and its own run up to itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ROWS = 128
"""Tokens of a block at most, which bounds how much of it no token may see."""

Ints = npt.NDArray[np.int64]
Range = tuple[int, int]
NOWHERE = -1
"""The parent of a run that begins a tree."""
_TRIANGLE = np.tri(ROWS, dtype=np.bool_)


@dataclass(frozen=True)
class Block:
    """Tokens that are read together, and what they see.

    Attributes:
        rows: Which tokens, counted from the first of this reading.
        columns: int64 [columns], the slots that some of the tokens see.
        seen: bool [tokens, columns], which token sees which slot.
    """

    rows: slice
    columns: Ints
    seen: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Run:
    start: int
    stop: int
    above: tuple[Range, ...]  # what the run sees before itself
    family: int  # the prompt that it grows from


class TokenTree:
    """A tree of tokens that grows by runs.

    Attributes:
        depths: int64 [slots], how many tokens stand before each on its path.
    """

    def __init__(self) -> None:
        self.depths: Ints = np.empty(0, np.int64)
        self._run_of: Ints = np.empty(0, np.int64)
        self._runs: list[_Run] = []

    def grow(
        self, parents: Sequence[int], lengths: Sequence[int], *, prompts: bool = False
    ) -> tuple[range, list[Block]]:
        """Add runs.

        Args:
            parents: The slot that each run goes on from, which may be one of this very growth;
                `NOWHERE` begins a tree.
            lengths: Tokens of each run, at least 1.
            prompts: The runs are prompts: what grows below one of them shares no block with
                what grows below another.

        Returns:
            The new slots, run after run, and how to read them.
        """
        first, known = len(self.depths), len(self._runs)
        new = range(first, first + sum(lengths))
        self._run_of = np.append(self._run_of, np.repeat(known + np.arange(len(lengths)), lengths))
        self.depths = np.append(self.depths, np.empty(len(new), np.int64))
        stop = first
        for parent, length in zip(parents, lengths, strict=True):
            start, stop = stop, stop + length
            above: tuple[Range, ...] = ()
            family, depth = NOWHERE, 0
            if parent != NOWHERE:
                upper = self._runs[self._run_of[parent]]
                above, family = (*upper.above, (upper.start, parent + 1)), upper.family
                depth = self.depths[parent] + 1
            self._runs.append(_Run(start, stop, above, len(self._runs) if prompts else family))
            self.depths[start:stop] = depth + np.arange(length)
        return new, list(_blocks(self._runs[known:], first))


def _blocks(runs: Sequence[_Run], first: int) -> Iterator[Block]:
    """Cut runs into blocks of one family and at most `ROWS` tokens."""
    pieces: list[tuple[_Run, int, int]] = []
    for run in runs:
        for start in range(run.start, run.stop, ROWS):
            stop = min(start + ROWS, run.stop)
            if pieces and (run.family != pieces[0][0].family or stop - pieces[0][1] > ROWS):
                yield _block(pieces, first)
                pieces = []
            pieces.append((run, start, stop))
    yield _block(pieces, first)


def _block(pieces: Sequence[tuple[_Run, int, int]], first: int) -> Block:
    begin, end = pieces[0][1], pieces[-1][2]
    ranges = {span for run, _, _ in pieces for span in run.above}
    ranges |= {(run.start, stop) for run, _, stop in pieces}
    columns = np.unique(np.concatenate([np.arange(*span) for span in ranges]))
    seen = np.zeros((end - begin, len(columns)), np.bool_)
    starts = [start for start, _ in ranges]
    place = dict(zip(starts, columns.searchsorted(starts).tolist(), strict=True))
    for run, start, stop in pieces:
        rows, height = seen[start - begin : stop - begin], stop - start
        for above, below in (*run.above, (run.start, start)):
            rows[:, place[above] : place[above] + below - above] = True
        own = place[run.start] + start - run.start
        rows[:, own : own + height] = _TRIANGLE[:height, :height]
    return Block(slice(begin - first, end - first), columns, seen)

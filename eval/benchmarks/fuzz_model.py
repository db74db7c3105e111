"""A model that is a table, and the scores that a search of it should find, without a trie."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from rec_gen.decoding.runtime import Frontier, LogitStates
from rec_gen.decoding.score import Score

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class TableRuntime:
    """The logits after a prefix are the row of a table that a hash of the prefix chooses.

    Args:
        table: float32 [rows, vocabulary].
    """

    def __init__(self, table: torch.Tensor) -> None:
        self.name = "table model"
        self.device = torch.device("cpu")
        self._table = table

    def read(self, prompts: Sequence[Sequence[int]]) -> "TableSession":
        """Hash the prompts."""
        return TableSession(self._table, torch.from_numpy(prompt_hashes(prompts)))


class TableSession(LogitStates):
    """The hash of the path to each slot."""

    def __init__(self, table: torch.Tensor, roots: torch.Tensor) -> None:
        self._table, self._slots = table, roots

    def start(self) -> Frontier:
        """The states at the ends of the prompts."""
        return self._frontier(0)

    def extend(
        self, parents: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor
    ) -> Frontier:
        """Read runs of tokens, each below a slot."""
        first = len(self._slots)
        above = first + torch.arange(len(tokens)) - 1
        above[lengths.cumsum(0) - lengths] = parents
        self._slots = torch.cat([self._slots, torch.zeros_like(tokens)])
        waiting = torch.arange(len(tokens))
        while len(waiting):  # a token is read once the one above it has been
            ready = ~torch.isin(above[waiting], first + waiting)
            now = waiting[ready]
            self._slots[first + now] = _mixed(self._slots[above[now]], tokens[now])
            waiting = waiting[~ready]
        return self._frontier(first)

    def _frontier(self, first: int) -> Frontier:
        states = self._table[(self._slots[first:] >> 33) % len(self._table)]
        return Frontier(states, torch.arange(first, len(self._slots)))


def _mixed(hashes: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return hashes * 6364136223846793005 + (tokens + 1) * 1442695040888963407


def prompt_hashes(prompts: Sequence[Sequence[int]]) -> Ints:
    """The hash of each prompt, int64 [prompts]."""
    return np.array([hash(tuple(prompt)) for prompt in prompts], np.int64)


def reference(
    table: torch.Tensor, root: int, paths: Ints, eligible: npt.NDArray[np.bool_], score: Score
) -> tuple[Floats, Floats]:
    """Score every eligible item after one prompt, token by token.

    Args:
        table: The model, float32 [rows, vocabulary].
        root: The prompt's hash.
        paths: [items, longest], spellings, padded with -1.
        eligible: [items].
        score: See `rec_gen.decoding.search.search`.

    Returns:
        Two of [items]: the scores, NaN where they rest on NaN or infinity and for items that are
        not eligible; and upper bounds: for scores that are NaN, the score up to the first NaN.
    """
    items = np.flatnonzero(eligible)
    hashes = torch.full((len(items),), root)
    prefix = np.zeros(len(items), np.int64)
    normalizers = table.logsumexp(1)
    total, bound = np.zeros(len(items)), np.zeros(len(items))
    for column in paths[items].T:
        inside, token = column >= 0, torch.from_numpy(column.clip(0))
        row = (hashes >> 33) % len(table)
        logit = table[row, token].double().numpy()
        with np.errstate(invalid="ignore", divide="ignore"):
            if score == "lm":
                normalizer = normalizers[row].double().numpy()
                step = np.where(np.isfinite(normalizer), logit - normalizer, np.nan)
            else:
                step, prefix = _live_steps(logit, prefix, column)
        total[inside] += step[inside]
        bound = np.where(np.isnan(total), bound, total)
        hashes = _mixed(hashes, token)
    scores, bounds = np.full(len(paths), np.nan), np.full(len(paths), -np.inf)
    scores[items], bounds[items] = total, bound
    return scores, bounds


def _live_steps(logit: Floats, prefix: Ints, column: Ints) -> tuple[Floats, Ints]:
    """Log-probabilities among the different tokens after each prefix, and the prefixes then."""
    children, first, child = np.unique(
        prefix * (column.max() + 2) + column + 1, return_index=True, return_inverse=True
    )
    parent, values = prefix[first], logit[first]
    top = np.full(len(children), -np.inf)
    np.maximum.at(top, parent, values)
    sums = np.zeros(len(children))
    np.add.at(sums, parent, np.exp(values - top[parent]))
    step = logit - (top + np.log(sums))[prefix]
    step[np.bincount(parent)[prefix] == 1] = 0
    return step, child

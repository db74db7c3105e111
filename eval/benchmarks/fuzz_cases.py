"""Random catalogs, filters, weights and requests for `eval.benchmarks.fuzz`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
import torch

from eval.benchmarks.fuzz_model import Ints
from rec_gen.decoding.score import Score

Generator = np.random.Generator

FEW, MANY = 16, 640
"""Vocabularies: of most catalogs, and of wide ones."""
CLOSE = FEW - 2
"""The token that ends titles; the one after it is in no catalog."""
SPOILT = (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e4)


@dataclass(frozen=True)
class Case:
    """A catalog, a model and the requests of one search.

    Attributes:
        paths: [items, longest], spellings, padded with -1.
        table: The model, float32 [rows, vocabulary].
        prompts: One prompt a request.
        eligible: bool [items], what all requests share; None where nothing is filtered.
        excluded: Items that each request leaves out.
        k: How many items are asked for.
        beam_width: Prefixes that go on at once.
        score: The kind of score.
        exact: Whether the search goes on until it is certain.
    """

    paths: Ints
    table: torch.Tensor
    prompts: list[list[int]]
    eligible: torch.Tensor | None
    excluded: list[list[int]]
    k: int
    beam_width: int
    score: Score
    exact: bool

    @cached_property
    def resolution(self) -> float:
        """How far apart two ways to add up the same logits may be."""
        return 1e-6 + 1e-15 * float(self.table[self.table.isfinite()].abs().max())

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Which items each request may return, [requests, items]."""
        allowed = np.ones((len(self.prompts), len(self.paths)), bool)
        if self.eligible is not None:
            allowed &= self.eligible.numpy()
        for row, items in zip(allowed, self.excluded, strict=True):
            row[items] = False
        return allowed


def random_case(generator: Generator) -> Case:
    """Draw a case; now and then a request has no eligible item."""
    paths = generator.permutation(SHAPES[generator.integers(len(SHAPES))](generator))
    items, requests = len(paths), int(generator.integers(1, 5))
    share = generator.choice([1.0, 0.9, 0.5, 0.1, 1 / items], p=[0.4, 0.2, 0.2, 0.1, 0.1])
    eligible = None if share == 1 else generator.random(items) < share
    if eligible is not None and generator.random() < 0.98:
        eligible[generator.integers(items)] = True
    left_out = [generator.integers(0, items, generator.integers(items)) for _ in range(requests)]
    return Case(
        paths=paths,
        table=_weights(generator, MANY if paths.max() >= FEW else FEW),
        prompts=[generator.integers(0, FEW, generator.integers(1, 9)).tolist() for _ in left_out],
        eligible=None if eligible is None else torch.from_numpy(eligible),
        excluded=[row.tolist() if generator.random() < 0.5 else [] for row in left_out],
        k=int(generator.integers(1, min(items, 50) + 5)),
        beam_width=int(generator.choice([1, 2, 3, 5, 10, 50])),
        score="lm" if generator.random() < 0.5 else "catalog",
        exact=bool(generator.random() < 0.4),
    )


@cache
def _drawn(vocabulary: int) -> torch.Tensor:
    rows = 20_000 // vocabulary
    drawn = np.random.default_rng(vocabulary).normal(size=(rows, vocabulary))
    return torch.from_numpy(drawn).float()


def _weights(generator: Generator, vocabulary: int) -> torch.Tensor:
    """Sound logits in two thirds of all cases, else some are spoilt: everywhere or in places."""
    table = _drawn(vocabulary).roll(int(generator.integers(1 << 30)))
    table = table * float(generator.choice([0.0, 0.1, 3.0, 30.0], p=[0.1, 0.2, 0.5, 0.2]))
    if generator.random() < 0.34:
        for _ in range(generator.integers(1, 4)):
            everywhere, share = generator.random() < 0.5, generator.choice([0.5, 0.05, 0.005])
            rows = everywhere | (generator.random(len(table)) < share)
            table[torch.from_numpy(rows), generator.integers(FEW)] = generator.choice(SPOILT)
    return table


def _one(generator: Generator) -> Ints:
    return generator.integers(0, FEW, (1, generator.integers(1, 31)))


def _flat(generator: Generator) -> Ints:
    return np.arange(generator.integers(1, FEW))[:, None]


def _codes(generator: Generator) -> Ints:
    shape = (generator.integers(1, 60), generator.integers(1, 5))
    return np.unique(generator.integers(0, generator.integers(2, 9), shape), axis=0)


def _closed(generator: Generator, rows: Ints) -> Ints:
    """Rows that are cut at random and end with the closing token."""
    lengths = generator.integers(0, rows.shape[1] + 1, len(rows))
    padded = np.concatenate([rows, np.full((len(rows), 1), CLOSE)], axis=1)
    padded[np.arange(len(rows)), lengths] = CLOSE
    padded[np.arange(padded.shape[1]) > lengths[:, None]] = -1
    return np.unique(padded, axis=0)


def _titles(generator: Generator) -> Ints:
    shape = (generator.integers(1, 60), generator.integers(1, 7))
    return _closed(generator, generator.integers(0, generator.integers(1, CLOSE), shape))


def _runs(generator: Generator) -> Ints:
    """Items that follow one long path, leave it somewhere and go on alone."""
    items, width = generator.integers(1, 20), generator.integers(10, 50)
    rows = generator.integers(0, CLOSE, (items, width))
    path, leave = generator.integers(0, CLOSE, width), generator.integers(0, width, items)
    return _closed(generator, np.where(np.arange(width) < leave[:, None], path, rows))


def _shared(generator: Generator) -> Ints:
    """Titles with one long common beginning."""
    titles = _titles(generator)
    path = generator.integers(0, CLOSE, generator.integers(5, 30))
    return np.concatenate([np.tile(path, (len(titles), 1)), titles], axis=1)


def _comb(generator: Generator) -> Ints:
    """Items that leave one path token by token."""
    items = generator.integers(1, 25)
    place = np.arange(items)[None, :] - np.arange(items)[:, None]
    return np.select([place < 0, place == 0], [0, 1], -1)


def _wide(generator: Generator) -> Ints:
    """Hundreds of first tokens, with one or more tokens after each."""
    items = generator.integers(100, 600)
    firsts = generator.choice(MANY, items) if generator.random() < 0.5 else np.arange(items)
    return np.unique(np.stack([firsts, generator.integers(0, 4, items)], axis=1), axis=0)


SHAPES: tuple[Callable[[Generator], Ints], ...] = (
    _one, _flat, _codes, _titles, _runs, _shared, _comb, _wide,
)  # fmt: skip

"""The trie alone: bytes, building time, one step of twenty beams."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import numpy.typing as npt
import torch

from rec_gen.decoding.trie import CatalogTrie

MILLION, BEAMS = 1_000_000, 20
LEVELS, CODES, TITLE = 4, 256, 12


def random_ids(generator: np.random.Generator, items: int) -> tuple[npt.NDArray[np.int32], int]:
    """Distinct semantic IDs of four codes out of 256, in one array, and their length."""
    drawn = generator.choice(CODES**LEVELS, size=items, replace=False)
    codes = [drawn // CODES**level % CODES + CODES * level for level in range(LEVELS)]
    return np.stack(codes, axis=1).astype(np.int32).ravel(), LEVELS


def random_titles(generator: np.random.Generator, items: int) -> tuple[npt.NDArray[np.int32], int]:
    """Titles of twelve tokens with Zipf-like words, closed by a number that makes them differ."""
    words = (50_000 ** generator.random((items, TITLE - 3))).astype(np.int32)
    number = np.arange(items)
    tail = np.stack([number % 997, number // 997 % 997, number // 997**2], axis=1)
    return np.concatenate([words, tail], axis=1).astype(np.int32).ravel(), TITLE


def index_figures(generator: np.random.Generator) -> dict[str, float]:
    """Measure tries of a hundred thousand to ten million items."""
    steps = {}
    for items in (MILLION // 10, MILLION, 10 * MILLION):
        flat, length = random_ids(generator, items)
        start = time.perf_counter()
        trie = CatalogTrie.build_ragged(flat, np.full(items, length))
        built = time.perf_counter() - start
        steps[items] = _step_us(trie, generator)
        if items == MILLION:
            figures = {
                "sid_index_mb_per_million": trie.bytes / 1e6,
                "sid_build_s_per_million": built,
            }
    flat, length = random_titles(generator, MILLION)
    titles = CatalogTrie.build_ragged(flat, np.full(MILLION, length))
    return {
        **figures,
        "title_index_mb_per_million": titles.bytes / 1e6,
        "step_us_20_beams_1m": steps[MILLION],
        "step_growth_1e5_to_1e7": steps[10 * MILLION] / steps[MILLION // 10],
    }


def _step_us(trie: CatalogTrie, generator: np.random.Generator) -> float:
    """Microseconds to find the edges of twenty nodes of the second level and their leaves."""
    nodes = torch.from_numpy(generator.integers(1, CODES, size=BEAMS))

    def step() -> None:
        _, edges = trie.edges(nodes)
        trie.leaves(trie.target.index_select(0, edges))

    return 1e6 * _median_seconds(step, 200)


def _median_seconds(run: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return median(seconds)

"""Filters on a catalog of a million items, timed inside whole requests."""

import time
from collections.abc import Callable
from statistics import median
from typing import ParamSpec, TypeVar
from unittest.mock import patch

import numpy as np
import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.decoding.filters import EligibleLeaves
from rec_gen.index import Index
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle

ITEMS, SEEN, ROUNDS = 1_000_000, 200, 20

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


class Stopwatch:
    """Adds up what functions take."""

    def __init__(self) -> None:
        self.ms = 0.0

    def on(self, function: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
        """The same function, timed."""

        def timed(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Value:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.ms += 1e3 * (time.perf_counter() - start)

        return timed


def filter_figures(items: int = ITEMS) -> dict[str, float]:
    """Milliseconds of a request in which the filter is made; the median of some requests.

    A new filter is a rule that was never asked before, from its text to prefix sums; a cached one
    is remembered, and 200 seen items of the request are taken out of it.
    """
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "item": np.arange(items).astype(str),
            "title": np.arange(items).astype(str),
            "price": generator.integers(100, size=items),
            "in_stock": generator.random(items) < 0.8,
        }
    )
    recommender = Recommender(random_bundle(Catalog(frame), "semantic"))
    history = generator.choice(items, SEEN, replace=False).astype(str).tolist()
    watch = Stopwatch()
    figures = {}
    with (
        patch.object(Index, "shared_filter", watch.on(Index.shared_filter)),
        patch.object(EligibleLeaves, "__init__", watch.on(EligibleLeaves.__init__)),
    ):
        for name, rule in (("new", "price < {} and in_stock"), ("cached", "price < 50")):
            times = []
            for turn in range(ROUNDS + 1):
                watch.ms = 0.0
                recommender.recommend([history], where=rule.format(turn + 1))
                times.append(watch.ms)
            figures[f"filter_{name}_ms"] = median(times[1:])
    return figures

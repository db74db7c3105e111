"""A synthetic market of any size: items in categories, and users that walk between these.

Within a category the item of rank r is chosen with a chance in proportion to 1/r. A user mostly
stays in a category, sometimes goes to one of its neighbours, and else to any, the first ones being
the most popular: a Markov chain. Codes need no clustering: the category, the item's rank in equal
steps, and the rank in a step. So each code of a level stands for as many items, as it does where
vectors of items are clustered.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog
from rec_gen.prompting import PromptConfig
from rec_gen.testing import random_bundle

Ints = npt.NDArray[np.int64]

CODES, NEIGHBOURS = 128, 4
"""Codes of a level; there are as many categories."""
STAY, NEAR = 0.7, 0.2
"""How likely a user stays in a category, or goes to a neighbour."""
SHORTEST, LONGEST, MEDIAN = 5, 128, 80
"""Interactions of a history; their logarithm is normal, and is cut at both ends."""
MODEL: dict[str, Any] = {
    "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "initializer_range": 0.2,
}  # fmt: skip
"""About a million parameters with the tokens of the codes."""


@dataclass(frozen=True)
class Market:
    """A catalog by its numbers; items are sorted by category, and there by popularity.

    Attributes:
        items: How many there are.
        seed: Another seed is another market.
    """

    items: int
    seed: int = 0

    @cached_property
    def bounds(self) -> Ints:
        """Where categories begin, and where the last one ends, int64 [categories + 1]."""
        return np.arange(CODES + 1) * self.items // CODES

    @property
    def category(self) -> Ints:
        """The category of each item, int64 [items]."""
        return np.repeat(np.arange(CODES), np.diff(self.bounds))

    def codes(self) -> Ints:
        """Semantic IDs, int64 [items, 3]; some are equal where there are over 2 million items."""
        category, step = self.category, -(-self.items // CODES**2)
        rank = np.arange(self.items) - self.bounds[category]
        return np.stack([category, rank // step, rank % step % CODES], axis=1)

    def catalog(self) -> Catalog:
        """The items, whose ids are their numbers."""
        numbers = pl.Series(np.arange(self.items)).cast(pl.String)
        columns = {"item": numbers, "title": numbers, "category": pl.Series(self.category)}
        return Catalog(pl.DataFrame(columns))

    def bundle(self) -> Bundle:
        """An untrained model of a million parameters, searched by the score `catalog`."""
        bundle = random_bundle(self.catalog(), "semantic", self.seed, self.codes(), **MODEL)
        prompt = PromptConfig(template="sequence", max_history=LONGEST, max_tokens=1024)
        manifest = bundle.manifest.model_copy(update={"prompt": prompt, "score": "catalog"})
        return replace(bundle, manifest=manifest)

    def users(self, count: int) -> pl.DataFrame:
        """Users with their histories, `user` (int64) and `history` (lists of int64)."""
        rng = np.random.default_rng([self.seed, 1])
        drawn = np.exp(rng.normal(np.log(MEDIAN), 0.7, size=count))
        lengths = drawn.round().astype(np.int64).clip(SHORTEST, LONGEST)
        walked = self._walk(count, rng)
        user = np.repeat(np.arange(count), lengths)
        item = walked[np.arange(LONGEST) < lengths[:, None]]
        return (
            pl.DataFrame({"user": user, "item": item})
            .group_by("user", maintain_order=True)
            .agg(history="item")
        )

    def _walk(self, users: int, rng: np.random.Generator) -> Ints:
        """The items that users choose, int64 [users, 128]."""
        sizes = np.diff(self.bounds)
        shares = np.where(sizes > 0, np.arange(1, CODES + 1) ** -0.5, 0)
        shares /= shares.sum()
        neighbours = rng.choice(CODES, size=(CODES, NEIGHBOURS), p=shares)
        category = rng.choice(CODES, size=users, p=shares)
        walked = np.empty((users, LONGEST), np.int64)
        for step in range(LONGEST):
            turn = rng.random(users)
            near = neighbours[category, rng.integers(NEIGHBOURS, size=users)]
            far = rng.choice(CODES, size=users, p=shares)
            category = np.select([turn < STAY, turn < STAY + NEAR], [category, near], far)
            rank = (sizes[category] + 1) ** rng.random(users)  # the logarithm is uniform
            walked[:, step] = self.bounds[category] + rank.astype(np.int64) - 1
        return walked

"""A synthetic market of any size: items in categories, and users that walk between these.

Within a category the item of rank r is chosen with a chance in proportion to 1/r. A user mostly
stays in a category, sometimes goes to one of its neighbours, and else to any by its size: a Markov
chain. Codes need no clustering: the category, the item's rank in steps, and the rank in a step.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog
from rec_gen.prompting import PromptConfig
from rec_gen.testing import random_bundle

Ints = npt.NDArray[np.int64]

CATEGORIES, CODES, NEIGHBOURS = 256, 256, 4
STAY, NEAR = 0.7, 0.2
"""How likely a user stays in a category, or goes to a neighbour."""
SHORTEST, LONGEST, MEDIAN = 5, 50, 30
"""Interactions of a history; their logarithm is normal, and is cut at both ends."""
MODEL = {
    "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "initializer_range": 0.2,
}  # fmt: skip
"""About a million parameters with the tokens of the codes."""


@dataclass(frozen=True)
class Market:
    """A catalog by its numbers; items are sorted by category, and there by popularity.

    Attributes:
        sizes: int64 [categories], the items of each.
        neighbours: int64 [categories, 4], where users go from each.
        seed: Another seed is another market.
    """

    sizes: Ints
    neighbours: Ints
    seed: int

    @classmethod
    def draw(cls, items: int, seed: int = 0) -> "Market":
        """A market with so many items."""
        rng = np.random.default_rng([seed, 0])
        shares = np.arange(1, CATEGORIES + 1) ** -0.5
        sizes = rng.multinomial(items, shares / shares.sum())
        return cls(sizes, rng.integers(CATEGORIES, size=(CATEGORIES, NEIGHBOURS)), seed)

    @cached_property
    def starts(self) -> Ints:
        """The first item of each category, int64 [categories]."""
        return self.sizes.cumsum() - self.sizes

    def codes(self) -> Ints:
        """Semantic IDs, int64 [items, 3]; some are equal where a category is very large."""
        category = np.repeat(np.arange(CATEGORIES), self.sizes)
        rank = np.arange(len(category)) - self.starts[category]
        return np.stack([category, rank // CODES % CODES, rank % CODES], axis=1)

    def catalog(self) -> Catalog:
        """The items, whose ids are their numbers."""
        numbers = pl.Series(np.arange(self.sizes.sum())).cast(pl.String)
        category = pl.Series(np.repeat(np.arange(CATEGORIES), self.sizes))
        return Catalog(pl.DataFrame({"item": numbers, "title": numbers, "category": category}))

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
        """The items that users choose, int64 [users, 50]."""
        offered = np.flatnonzero(self.sizes)
        shares = self.sizes[offered] / self.sizes.sum()
        category = rng.choice(offered, size=users, p=shares)
        walked = np.empty((users, LONGEST), np.int64)
        for step in range(LONGEST):
            turn = rng.random(users)
            near = self.neighbours[category, rng.integers(NEIGHBOURS, size=users)]
            far = rng.choice(offered, size=users, p=shares)
            near = np.where(self.sizes[near] > 0, near, far)
            category = np.select([turn < STAY, turn < STAY + NEAR], [category, near], far)
            rank = (self.sizes[category] + 1) ** rng.random(users)  # the logarithm is uniform
            walked[:, step] = self.starts[category] + rank.astype(np.int64) - 1
        return walked

"""A world in which some items come after training: nothing of them is in what a model learns from.

Items are drawn by a hash of their id, so that the draw is the same on every machine. All their
interactions are taken out; those that were held out become the examples to be predicted, after
histories that name none of these items.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.catalog import Catalog, Item
from rec_gen.data.dataset import Dataset, Example, Split
from rec_gen.data.splits import hash_ids

SHARE = 0.15
"""How many items come after training."""


@dataclass(frozen=True, eq=False)
class ColdWorld:
    """A data set without some of its items, and these.

    Attributes:
        warm: What a model may learn from, its catalog without the cold items.
        whole: The same interactions under the catalog with the cold items, which come last.
        source: The data set that both were made of.
    """

    warm: Dataset
    whole: Dataset
    source: Dataset

    @classmethod
    def of(cls, dataset: Dataset, seed: int, share: float = SHARE) -> Self:
        """Take some items out of a data set.

        Args:
            dataset: The data.
            seed: Another seed draws other items.
            share: How likely an item is drawn.
        """
        drawn = hash_ids(dataset.catalog.ids, f"cold {seed}") < np.uint64(share * 2**64)
        order = np.argsort(drawn, kind="stable")
        places = np.empty(len(order), np.uint32)
        places[order] = np.arange(len(order))
        items = dataset.frame["item"].to_numpy()
        frame = dataset.frame.with_columns(pl.Series("item", places[items])).filter(~drawn[items])
        rows = dataset.catalog.frame[order]
        manifest: dict[str, Any] = {**dataset.manifest, "name": f"{dataset.name}-warm"}
        warm = Catalog(rows[: int((~drawn).sum())])
        return cls(
            Dataset(warm, frame, manifest),
            Dataset(Catalog(rows), frame, manifest),
            dataset,
        )

    @property
    def items(self) -> list[Item]:
        """The items that come later."""
        catalog = self.whole.catalog
        return [catalog[place] for place in range(len(self.warm.catalog), len(catalog))]

    @property
    def cold(self) -> npt.NDArray[np.bool_]:
        """Whether an item comes later, bool [items] by position in the catalog of `whole`."""
        catalog = self.whole.catalog
        return np.arange(len(catalog)) >= len(self.warm.catalog)

    def examples(self, split: Split) -> list[Example]:
        """The held-out interactions with cold items, under the catalog of `whole`.

        Args:
            split: Which of them.
        """
        old, new = self.source.catalog, self.whole.catalog
        places = np.array([new.position(item) for item in old.ids], np.int32)
        cold, found = self.cold, []
        for example in self.source.examples(split):
            target, history = int(places[example.target]), places[example.history]
            if cold[target]:
                kept = ~cold[history]
                found.append(
                    replace(
                        example,
                        history=history[kept],
                        target=target,
                        times=None if example.times is None else example.times[kept],
                        ratings=None if example.ratings is None else example.ratings[kept],
                    )
                )
        return found

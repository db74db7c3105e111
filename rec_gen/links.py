"""Items that a dialogue leads to: those whose columns hold what it names, or share it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.text import clean_text

COUNT = 40
"""Items that are found at most."""
DECAY = 0.7
"""The weight of what was named relative to what was named after it."""


class Links:
    """Finds items by the values of a catalog's columns that are lists of text.

    Such a column lists people, genres and the like. A named value leads to the items that have it,
    a named item to those that share its values. What few items have weighs more, and so does what
    was named later. This is retrieval by tf-idf vectors with a query made of both (Rocchio,
    "Relevance feedback in information retrieval", 1971).

    Attributes:
        values: The column of each value, in lower case, in `weights`.
        weights: float32 [items, values], by catalog position.
    """

    def __init__(self, catalog: Catalog) -> None:
        from scipy import sparse

        schema = catalog.frame.schema
        columns = [name for name in catalog.metadata if schema[name] == pl.List(pl.String)]
        self.values: dict[str, int] = {}
        cells: set[tuple[int, int]] = set()
        for column in columns:
            for item, listed in enumerate(catalog.frame[column].to_list()):
                for value in filter(None, map(_key, listed or ())):
                    cells.add((item, self.values.setdefault(value, len(self.values))))
        rows, places = np.array(sorted(cells), np.int64).reshape(-1, 2).T
        shape = (len(catalog), len(self.values))
        holds = sparse.csr_array((np.ones(len(rows), np.float32), (rows, places)), shape=shape)
        counts = np.bincount(places, minlength=shape[1])
        rarity = 1 / np.sqrt(np.maximum(counts, 1))
        self.weights = holds.multiply(rarity[None].astype(np.float32)).tocsr()

    def score(
        self, entities: Sequence[str], history: Sequence[int] | npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float32]:
        """How much each item has in common with what was named.

        Args:
            entities: What was named, oldest first; what no column holds leads nowhere.
            history: The catalog positions of the items that were named, oldest first.

        Returns:
            float32 [items], 0 where nothing leads to an item.
        """
        query = np.zeros(len(self.values), np.float32)
        named = dict.fromkeys(self.values.get(_key(name)) for name in reversed(entities))
        for age, place in enumerate(place for place in named if place is not None):
            query[place] += DECAY**age
        for age, item in enumerate(dict.fromkeys(reversed(list(map(int, history))))):
            own = self.weights[[item]].toarray()[0]
            query += DECAY**age * own / max(float(np.linalg.norm(own)), 1e-6)
        scores: npt.NDArray[np.float32] = self.weights @ query
        return scores

    def find(
        self, entities: Sequence[str], history: Sequence[int] | npt.NDArray[np.int32]
    ) -> list[int]:
        """The items that share most with what was named, and were not named, the best last."""
        scores = self.score(entities, history)
        scores[list(map(int, history))] = 0
        best = np.argsort(scores, kind="stable")[-COUNT:]
        return [int(item) for item in best if scores[item] > 0]


def _key(text: str | None) -> str:
    return clean_text(text or "").lower()

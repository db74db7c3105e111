"""A recommender that knows items by their text alone, and so new ones as well as old ones."""

from typing import Self

import numpy as np
import polars as pl

from rec_gen.counts import Histories, Scores
from rec_gen.data.dataset import Dataset
from rec_gen.item_columns import text_vectors
from rec_gen.semantic_ids import Vectors, join

TEXT = (pl.String, pl.Categorical, pl.Enum)


class ContentSimilarity:
    """The cosine of an item's text to the mean text of the last items of the history.

    Source: the content-based profile of Pazzani and Billsus, "Content-based recommendation
    systems", 2007, over sentence embeddings. How many items make the profile was chosen on the
    validation split of Amazon Industrial.

    Attributes:
        recent: How many items of the history count.
    """

    name = "content"

    def __init__(self, recent: int = 3) -> None:
        self.recent = recent

    def fit(self, dataset: Dataset) -> Self:
        """Encode the title and all other columns of text of each item.

        Raises:
            RecGenError: The encoder is not to be had.
        """
        catalog = dataset.catalog
        columns = ["title", *(name for name in catalog.metadata if _is_text(catalog.frame[name]))]
        return self.over(text_vectors(catalog.texts(columns)))

    def over(self, vectors: Vectors) -> Self:
        """Take vectors of items that are there already, float32 [items, dimensions]."""
        self._vectors = join([vectors])
        return self

    def score(self, histories: Histories) -> Scores:
        """Score the catalog for each history; see `eval.baselines.Baseline.score`."""
        profiles = np.zeros((len(histories), self._vectors.shape[1]), np.float32)
        for row, history in enumerate(histories):
            if len(history):
                profiles[row] = self._vectors[history[-self.recent :]].mean(axis=0)
        return join([profiles]) @ self._vectors.T


def _is_text(column: pl.Series) -> bool:
    kind = column.dtype.inner if isinstance(column.dtype, pl.List) else column.dtype
    return kind in TEXT

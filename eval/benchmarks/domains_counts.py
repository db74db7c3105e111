"""What is not trained: items of like text, and counts that shared titles carry."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import polars as pl

from rec_gen.bundle import Bundle
from rec_gen.counts import Histories, Scores, history_matrix
from rec_gen.data.dataset import Dataset, Split
from rec_gen.semantic_ids import Vectors


class TextNeighbours:
    """Items whose text is like that of the history, with nothing learnt of anyone.

    Attributes:
        decay: The weight of an interaction relative to the one after it, as in `MarkovKNN`.
    """

    name = "text neighbours"

    def __init__(self, vectors: Vectors, decay: float = 0.8) -> None:
        self._vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        self.decay = decay

    def fit(self, dataset: Dataset) -> Self:
        """Nothing is fitted."""
        return self

    def score(self, histories: Histories) -> Scores:
        """Score the catalog for each history; see `eval.baselines.Baseline`."""
        weights = history_matrix(histories, len(self._vectors), self.decay)
        return np.asarray(weights @ self._vectors @ self._vectors.T, np.float32)


def carry(source: Dataset, target: Dataset, places: Sequence[int]) -> Dataset:
    """The target, and the source's training interactions with items that it has too.

    Args:
        source: Where interactions come from.
        target: Whose catalog they are told in.
        places: For each item of the source its position in the target, or -1.
    """
    carried = source.frame.select(
        (pl.lit("source:") + pl.col("user")).alias("user"),
        pl.Series("item", np.array(places)).gather(source.frame["item"]),
        "time",
        "split",
    ).filter((pl.col("item") >= 0) & (pl.col("split") == Split.TRAIN))
    own = target.frame.select("user", "item", "time", "split")
    frame = pl.concat([own, carried.with_columns(pl.col("item").cast(own.schema["item"]))])
    return Dataset(target.catalog, frame, target.manifest)


def shared_places(source: Bundle, target: Bundle) -> list[int]:
    """For each item of the source, the position of the one spelled alike in the target, or -1."""
    known = {tokens.tobytes(): place for place, tokens in enumerate(target.spellings.tokens)}
    return [known.get(tokens.tobytes(), -1) for tokens in source.spellings.tokens]

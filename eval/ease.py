"""EASE: a linear model of items on items in closed form."""

from typing import Self

import numpy as np
from scipy.linalg import lapack

from rec_gen.counts import Histories, Scores, blocks, history_matrix, seen_matrix
from rec_gen.data.dataset import Dataset
from rec_gen.errors import DataError

MAX_ITEMS = 20_000
"""The largest catalog: its matrix takes 1.6 GB, and its inverse some 5e12 operations."""


class EASE:
    """Ridge regression of each item on all others, by one inverse of items x items.

    It peaks at one float32 matrix of 4 bytes * items², inverted in its own place, and what scipy
    multiplies for a block of it.

    Source: Steck, "Embarrassingly shallow autoencoders for sparse data", 2019. The default was
    chosen on the validation splits of MovieLens-100K, MovieLens-1M and Amazon Industrial.

    Attributes:
        regularization: What is added to the diagonal of the Gram matrix.
        weights: float32 [items, items], once fitted: what a row's item says of a column's.
    """

    name = "EASE"

    def __init__(self, regularization: float = 200.0) -> None:
        self.regularization = regularization
        self.weights: Scores = np.zeros((0, 0), np.float32)

    @staticmethod
    def refusal(items: int) -> str | None:
        """Why a catalog of so many items is refused; None where it is not."""
        if items <= MAX_ITEMS:
            return None
        return (
            f"it inverts a matrix of items x items, which for {items:,} items is "
            f"{4 * items**2 / 1e9:.1f} GB; the most is {MAX_ITEMS:,} items"
        )

    def fit(self, dataset: Dataset) -> Self:
        """Solve for the weights.

        Raises:
            DataError: The catalog has too many items.
        """
        seen = seen_matrix(dataset)
        size = seen.shape[1]
        if reason := self.refusal(size):
            raise DataError(f"{dataset.name}: EASE: {reason}: leave ease out of --baselines")
        by_item = seen.T.tocsr()
        gram = np.empty((size, size), np.float32)
        for block in blocks(size):
            gram[block] = (by_item[block] @ seen).toarray()
        np.fill_diagonal(gram, gram.diagonal() + self.regularization)
        _invert(gram)
        gram /= -gram.diagonal()
        np.fill_diagonal(gram, 0)
        self.weights = gram
        return self

    def score(self, histories: Histories) -> Scores:
        """Score the catalog for each history; see `eval.baselines.Baseline.score`."""
        seen = history_matrix(histories, len(self.weights))
        seen.data[:] = 1
        scores: Scores = seen @ self.weights
        return scores


def _invert(matrix: Scores) -> None:
    """Invert a positive definite matrix in its own place, by Cholesky's factors.

    Args:
        matrix: float32 [n, n] in C order.
    """
    # LAPACK counts by columns, so the transpose goes in, whose lower triangle is our upper one
    factor, _ = lapack.spotrf(matrix.T, lower=True, clean=False, overwrite_a=True)
    lapack.spotri(factor, lower=True, overwrite_c=True)
    for block in blocks(len(matrix)):
        matrix[block.stop :, block] = matrix[block, block.stop :].T
        square = matrix[block, block]
        square[:] = np.triu(square) + np.triu(square, 1).T

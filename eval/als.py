"""ALS: matrix factorisation of implicit feedback, by the package `implicit`."""

from importlib import import_module
from typing import Any, Self

import numpy as np
from scipy import sparse

from rec_gen.counts import Histories, Scores, history_matrix, seen_matrix
from rec_gen.data.dataset import Dataset
from rec_gen.errors import MissingPackageError


class ALS:
    """Factors of users and items by alternating least squares; a history's are solved anew.

    Source: Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", 2008.
    `alpha` was chosen of 1 and 5 on the validation splits of MovieLens-100K, MovieLens-1M and
    Amazon Industrial.

    Attributes:
        factors: The length of a vector.
        regularization: The weight of the squared vectors.
        alpha: How much more a seen item weighs than one that was not.
        iterations: Rounds of solving for users, then items.
        seed: Of the first vectors.
    """

    name = "ALS"

    def __init__(
        self,
        factors: int = 64,
        regularization: float = 0.1,
        alpha: float = 5.0,
        iterations: int = 15,
        seed: int = 0,
    ) -> None:
        self.factors = factors
        self.regularization = regularization
        self.alpha = alpha
        self.iterations = iterations
        self.seed = seed

    def fit(self, dataset: Dataset) -> Self:
        """Factorise which items each training sequence holds, on as many threads as torch uses.

        Raises:
            MissingPackageError: The package `implicit` is not installed.
        """
        import torch

        try:
            als, limits = import_module("implicit.als"), import_module("threadpoolctl")
        except ModuleNotFoundError as error:
            raise MissingPackageError(error.name or "implicit", "baselines") from error
        self._model: Any = als.AlternatingLeastSquares(
            factors=self.factors,
            regularization=self.regularization,
            alpha=self.alpha,
            iterations=self.iterations,
            num_threads=torch.get_num_threads(),
            random_state=self.seed,
            use_gpu=False,
        )
        with limits.threadpool_limits(1, "blas"):  # it multiplies small matrices in its threads
            self._model.fit(sparse.csr_matrix(seen_matrix(dataset)), show_progress=False)
        return self

    def score(self, histories: Histories) -> Scores:
        """Score the catalog for each history; see `eval.baselines.Baseline.score`."""
        items: Scores = self._model.item_factors
        seen = sparse.csr_matrix(history_matrix(histories, len(items)))
        seen.data[:] = 1
        users: Scores = self._model.recalculate_user(np.arange(len(histories)), seen)
        return users @ items.T

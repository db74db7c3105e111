"""The prior of the hybrid: what counting alone says of the next item."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy import sparse

from rec_gen.counts import MarkovKNN, training_popularity
from rec_gen.data.dataset import Dataset
from rec_gen.errors import BundleError

FORMAT = "rec_gen-prior-1"
PARTS = ("data", "indices", "indptr")
POPULARITY = "popularity"


class Prior:
    """A distribution over the catalog after each history: counts, smoothed with a uniform share.

    The hybrid ranks by log p_model + weight * log p_prior, a product of experts (Hinton, 2002).
    The smoothing is Jelinek and Mercer's (1980): items without a count stay possible.

    Attributes:
        counts: The fitted Markov + KNN.
        smoothing: The uniform share, above 0 and at most 1.
        popularity: int64 [items], the training interactions with each item; None in a file that was
            written before they were kept.
    """

    def __init__(
        self,
        counts: MarkovKNN,
        smoothing: float,
        popularity: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.counts = counts
        self.smoothing = smoothing
        self.popularity = popularity

    @classmethod
    def fit(cls, dataset: Dataset, smoothing: float) -> "Prior":
        """Count the training sequences of a data set."""
        return cls(MarkovKNN().fit(dataset), smoothing, training_popularity(dataset))

    def log_probs(self, histories: Sequence[Sequence[int]], offered: torch.Tensor) -> torch.Tensor:
        """The log-probability of each item to be the next one.

        Args:
            histories: Per request, catalog positions, oldest first; may be empty or hold items
                that came after the count.
            offered: bool [items], on the CPU: which items there are to choose from, those of the
                count first. The others' counts go to these; at least one is offered.

        Returns:
            float64 [n, items], finite. Over the offered items the probabilities sum to 1; what has
            no count shares the smoothing, and everything where a history has none at all.
        """
        known = offered.numpy()
        counted = np.zeros((len(histories), len(known)))
        scores = self.counts.score([np.asarray(history, np.int32) for history in histories])
        counted[:, : scores.shape[1]] = np.where(known[: scores.shape[1]], scores, 0)
        mass = counted.sum(axis=1, keepdims=True)
        uniform = np.where(mass > 0, self.smoothing, 1.0)
        counted *= (1 - uniform) / np.where(mass > 0, mass, 1.0)
        return torch.from_numpy(np.log(counted + uniform / known.sum()))

    def save(self, path: Path) -> None:
        """Write the counts and the settings to a safetensors file."""
        knn = self.counts.knn
        settings = {
            "weight": self.counts.weight,
            "neighbours": knn.neighbours,
            "decay": knn.decay,
            "smoothing": self.smoothing,
        }
        matrices = {"transitions": self.counts.transitions, "similarity": knn.similarity}
        tensors = {
            f"{name}.{part}": getattr(matrix, part)
            for name, matrix in matrices.items()
            for part in PARTS
        }
        if self.popularity is not None:
            tensors[POPULARITY] = self.popularity
        save_file(tensors, path, {"format": FORMAT, "settings": json.dumps(settings)})

    @classmethod
    def load(cls, path: Path, items: int) -> "Prior":
        """Read a file that `save` wrote.

        Args:
            path: The file.
            items: The size of the catalog that was counted.

        Raises:
            BundleError: The file is missing, damaged, of another catalog or something else.
        """
        try:
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise BundleError(f"{path}: is not a {FORMAT} file; train the bundle again")
                settings = json.loads(metadata["settings"])
                smoothing = settings.pop("smoothing")
                counts = MarkovKNN(**settings)
                counts.transitions, counts.knn.similarity = (
                    _matrix([file.get_tensor(f"{name}.{part}") for part in PARTS], items)
                    for name in ("transitions", "similarity")
                )
                held = POPULARITY in file.keys()  # noqa: SIM118, which is no mapping
                popularity = _counts(file.get_tensor(POPULARITY), items) if held else None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{path}: cannot be read as a prior: {error}") from error
        return cls(counts, smoothing, popularity)


def _counts(counts: npt.NDArray[Any], items: int) -> npt.NDArray[np.int64]:
    """A count an item; ValueError where it is none."""
    if counts.dtype != np.int64 or counts.shape != (items,) or (counts < 0).any():
        raise ValueError(f"{POPULARITY} holds no count of each of {items:,} items")
    return counts


def _matrix(parts: list[npt.NDArray[Any]], items: int) -> sparse.csr_array:
    """A matrix of items x items from its parts; ValueError where they make none."""
    matrix = sparse.csr_array(tuple(parts), shape=(items, items))
    matrix.check_format(full_check=True)
    return matrix

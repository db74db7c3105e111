"""Counted recommenders: nearest neighbours of items, and a Markov chain mixed with them.

They know training sequences only, and are both baselines and the prior of the hybrid.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from rec_gen.data.dataset import Dataset

Histories = Sequence[npt.NDArray[np.int32]]
Scores = npt.NDArray[np.float32]
Positions = npt.NDArray[np.integer[Any]]

MAX_CELLS = 1 << 22
"""Cells of the largest block of the items x items matrix held at once."""


class ItemKNN:
    """Item-based nearest neighbours: summed cosine similarity to the items of the history.

    Source: Sarwar et al., "Item-based collaborative filtering recommendation algorithms", 2001;
    for a decay below 1, Ding and Li, "Time weight collaborative filtering", 2005, with the place
    in the history for its time.

    Attributes:
        neighbours: How many most similar items are kept for each item, itself not among them.
        decay: The weight of an interaction relative to the one after it.
        similarity: float32 [items, items], once fitted: each item's row holds its neighbours.
    """

    name = "ItemKNN"

    def __init__(self, neighbours: int = 50, decay: float = 1.0) -> None:
        self.neighbours = neighbours
        self.decay = decay
        self.similarity = sparse.csr_array((0, 0), dtype=np.float32)

    def fit(self, dataset: Dataset) -> Self:
        """Count the users that each two items share, and keep each item's nearest neighbours."""
        seen = seen_matrix(dataset)
        size = seen.shape[1]
        norms = np.sqrt(np.maximum(seen.sum(axis=0), 1))
        seen = seen.multiply(1 / norms).tocsr()
        by_item = seen.T.tocsr()
        nearest = [
            _nearest(by_item[block] @ seen, block.start, self.neighbours) for block in blocks(size)
        ]
        self.similarity = sparse.vstack(nearest, format="csr")
        return self

    def score(self, histories: Histories) -> Scores:
        """Score the counted items for each history.

        Args:
            histories: Per user, int32 [m] catalog positions, oldest first; may be empty. Items
                that came after the count have an age and no neighbours.

        Returns:
            float32 [n, items], higher is better.
        """
        weights = history_matrix(histories, self.similarity.shape[0], self.decay)
        return _dense(weights @ self.similarity)


class MarkovKNN:
    """A first-order Markov chain from the last item, mixed with recency-weighted ItemKNN.

    Both parts are distributions over the catalog. The defaults were chosen on the validation
    splits of MovieLens-100K and Amazon Industrial.

    Attributes:
        weight: The share of the chain.
        knn: The other part.
        transitions: float32 [items, items], once fitted: how often an item came right after.
    """

    name = "Markov + KNN"

    def __init__(self, weight: float = 0.2, neighbours: int = 50, decay: float = 0.8) -> None:
        self.weight = weight
        self.knn = ItemKNN(neighbours, decay)
        self.transitions = sparse.csr_array((0, 0), dtype=np.float32)

    def fit(self, dataset: Dataset) -> Self:
        """Count the transitions between consecutive items, and fit the neighbours."""
        users, items = training_interactions(dataset)
        together = users[1:] == users[:-1]
        size = len(dataset.catalog)
        counts = _matrix(items[:-1][together], items[1:][together], (size, size))
        self.transitions = counts.multiply(1 / np.maximum(counts.sum(axis=1), 1)[:, None]).tocsr()
        self.knn.fit(dataset)
        return self

    def score(self, histories: Histories) -> Scores:
        """Score the counted items for each history; see `ItemKNN.score`."""
        last = [history[-1:] for history in histories]
        chain = _dense(history_matrix(last, self.transitions.shape[0]) @ self.transitions)
        knn = self.knn.score(histories)
        knn /= np.maximum(knn.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return self.weight * chain + (1 - self.weight) * knn


def training_interactions(dataset: Dataset) -> tuple[Positions, Positions]:
    """All training interactions: the numbers of their sequences, and their items."""
    return _flatten([sequence.items for sequence in dataset.sequences()])


def training_popularity(dataset: Dataset) -> npt.NDArray[np.int64]:
    """How many training interactions each item has, int64 [items]."""
    _, items = training_interactions(dataset)
    return np.bincount(items, minlength=len(dataset.catalog))


def seen_matrix(dataset: Dataset) -> sparse.csr_array:
    """Which items each training sequence holds, float32 [sequences, items] of ones."""
    users, items = training_interactions(dataset)
    seen = _matrix(users, items, (int(users.max(initial=-1)) + 1, len(dataset.catalog)))
    seen.data[:] = 1
    return seen


def history_matrix(histories: Histories, items: int, decay: float = 1.0) -> sparse.csr_array:
    """What the items of each history weigh, float32 [n, items], the last of each 1."""
    users, places = _flatten(histories)
    ends = np.bincount(users, minlength=len(histories)).cumsum()
    weights = decay ** (ends[users] - 1 - np.arange(len(users)))
    known = places < items
    return _matrix(users[known], places[known], (len(histories), items), weights[known])


def _flatten(histories: Histories) -> tuple[Positions, Positions]:
    rows = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    return rows, np.concatenate([np.zeros(0, np.int32), *histories])


def _matrix(
    rows: Positions,
    columns: Positions,
    shape: tuple[int, int],
    values: npt.ArrayLike = 1.0,
) -> sparse.csr_array:
    """A sparse float32 matrix; the values of repeated cells are added."""
    cells = np.broadcast_to(np.asarray(values, np.float32), rows.shape)
    return sparse.csr_array((cells, (rows, columns)), shape=shape)


def blocks(items: int) -> Iterator[slice]:
    """Rows of an items x items matrix, so many at a time that `MAX_CELLS` are not exceeded."""
    rows = max(1, MAX_CELLS // items)
    for start in range(0, items, rows):
        yield slice(start, start + rows)


def _nearest(similarity: sparse.csr_array, first: int, neighbours: int) -> sparse.csr_array:
    """Keep the largest entries of each row, but not row `i`'s entry for item `first + i`."""
    cells = similarity.tocoo()
    others = cells.col != cells.row + first
    rows, columns, values = cells.row[others], cells.col[others], cells.data[others]
    order = np.lexsort((-values, rows))
    starts = np.searchsorted(rows[order], np.arange(cells.shape[0]))
    kept = order[np.arange(len(order)) - starts[rows[order]] < neighbours]
    return sparse.csr_array((values[kept], (rows[kept], columns[kept])), shape=cells.shape)


def _dense(matrix: sparse.csr_array) -> Scores:
    dense: Scores = matrix.toarray()
    return dense

"""Codes of item vectors, level by level: residual k-means, plain or balanced.

TIGER (Rajput et al., 2023) quantises text embeddings with a residual autoencoder; residual k-means
over the same vectors is simpler and needs no training run. Balanced clusters use all codes evenly,
as in OneRec (Deng et al., 2025).
"""

import numpy as np
import numpy.typing as npt

from rec_gen.errors import MissingPackageError

Vectors = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
SMOOTHING = 0.3
"""The temperature of the transport plan, in standard deviations of the costs."""
FARTHEST = 60.0
"""The distance at which shares stop falling, so that none becomes 0 in float32."""
SWEEPS, ROUNDS = 20, 20
GAIN = 1e-3
"""The fall of the squared error that is worth another round."""


def residual_kmeans(
    vectors: Vectors, levels: int, codes: int, seed: int, *, balanced: bool = True
) -> Labels:
    """Quantise vectors level by level, each level clustering what the one before left over.

    Args:
        vectors: float32 [items, dimensions].
        levels: Codes an item.
        codes: Clusters a level; fewer when there are fewer items.
        seed: Seeds the clusterings.
        balanced: Whether the clusters of a level are of equal size, give or take one item.

    Returns:
        int64 [items, levels].

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    return residual_codebooks(vectors, levels, codes, seed, balanced=balanced)[0]


def residual_codebooks(
    vectors: Vectors, levels: int, codes: int, seed: int, *, balanced: bool = True
) -> tuple[Labels, Vectors]:
    """The codes of `residual_kmeans`, and the centers by which vectors that come later get theirs.

    Returns:
        int64 [items, levels], and float32 [levels, codes, dimensions].
    """
    quantise = balanced_kmeans if balanced else _kmeans
    residual, columns, books = vectors.astype(np.float32, copy=True), [], []
    for level in range(levels):
        labels, centers = quantise(residual, min(codes, len(vectors)), seed + level)
        residual -= centers[labels]
        columns.append(labels)
        books.append(centers.astype(np.float32, copy=False))
    return np.stack(columns, axis=1), np.stack(books)


def balanced_kmeans(vectors: Vectors, clusters: int, seed: int) -> tuple[Labels, Vectors]:
    """Cluster vectors so that the sizes of clusters differ by one at most.

    Lloyd's algorithm from plain k-means, each round assigning with capacities: an entropic
    transport plan (Cuturi, 2013; for semantic IDs Zheng et al., LC-Rec, 2024) shares each item out
    among clusters, and deferred acceptance makes the shares whole. A round takes time and memory
    in proportion to items x clusters.

    Args:
        vectors: float32 [items, dimensions].
        clusters: Their number, at most one an item.
        seed: Seeds plain k-means.

    Returns:
        The clusters, int64 [items], and their means, float32 [clusters, dimensions].

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    labels, centers = _kmeans(vectors, clusters, seed)
    weights, least = np.ones(clusters, np.float32), np.inf
    for _ in range(ROUNDS):
        costs = (centers**2).sum(axis=1) - 2 * vectors @ centers.T
        capacities = _capacities(costs)
        plan, weights = _transport(costs, capacities, weights)
        assigned = assign(-plan, capacities)
        means = _means(vectors, assigned, capacities)
        error = float(((vectors - means[assigned]) ** 2).sum())
        if error < least:
            labels, centers = assigned, means
        if error > least * (1 - GAIN):
            break
        least = error
    return labels, centers


def assign(costs: npt.NDArray[np.float32], capacities: npt.NDArray[np.int64]) -> Labels:
    """Assign every item to a cluster, by deferred acceptance (Gale and Shapley, 1962).

    Items ask for their cheapest cluster, a cluster keeps those that cost least, and the others ask
    for the next. In the end no item could move to a cheaper cluster that is not full of cheaper
    items.

    Args:
        costs: float32 [items, clusters], finite.
        capacities: int64 [clusters], which sum up to the number of items.

    Returns:
        int64 [items].
    """
    costs = costs.copy()
    labels = np.zeros(len(costs), np.int64)
    wanted = np.zeros(len(costs), np.float32)
    asking = np.arange(len(costs))
    while asking.size:
        labels[asking] = costs[asking].argmin(axis=1)
        wanted[asking] = costs[asking, labels[asking]]
        asked = np.zeros(len(capacities), np.bool_)
        asked[labels[asking]] = True
        members = np.flatnonzero(asked[labels])
        members = members[np.lexsort((wanted[members], labels[members]))]
        clusters = labels[members]
        place = np.arange(len(members)) - np.searchsorted(clusters, clusters)
        asking = members[place >= capacities[clusters]]
        costs[asking, labels[asking]] = np.inf
    return labels


def _kmeans(vectors: Vectors, clusters: int, seed: int) -> tuple[Labels, Vectors]:
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise MissingPackageError("scikit-learn", "train") from error
    means = KMeans(clusters, n_init=1, random_state=seed).fit(vectors)
    return means.labels_.astype(np.int64), means.cluster_centers_


def _capacities(costs: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Equal seats for all clusters; those that most items ask for get the ones left over."""
    items, clusters = costs.shape
    capacities = np.full(clusters, items // clusters, np.int64)
    demand = np.bincount(costs.argmin(axis=1), minlength=clusters)
    capacities[np.argsort(-demand, kind="stable")[: items % clusters]] += 1
    return capacities


def _transport(
    costs: npt.NDArray[np.float32], capacities: npt.NDArray[np.int64], weights: Vectors
) -> tuple[npt.NDArray[np.float32], Vectors]:
    """Share each item out among clusters so that these are as full as they have seats.

    Args:
        costs: float32 [items, clusters].
        capacities: int64 [clusters].
        weights: float32 [clusters], where to begin.

    Returns:
        The logarithm of the shares, float32 [items, clusters], and the weights that lead to them,
        float32 [clusters].
    """
    distances = costs - costs.min(axis=1, keepdims=True)
    distances /= SMOOTHING * distances.std() or 1
    kernel = np.exp(-np.minimum(distances, FARTHEST))
    seats = capacities.astype(np.float32)
    for _ in range(SWEEPS):
        weights = seats / ((1 / (kernel @ weights)) @ kernel)
        weights /= weights.mean()
    return np.log(weights) - distances - np.log(kernel @ weights)[:, None], weights


def _means(vectors: Vectors, labels: Labels, sizes: npt.NDArray[np.int64]) -> Vectors:
    """The mean of each cluster, none of which is empty."""
    grouped = vectors[np.argsort(labels, kind="stable")]
    starts = np.cumsum(sizes) - sizes
    return np.asarray(np.add.reduceat(grouped, starts) / sizes[:, None], np.float32)

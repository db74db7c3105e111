"""What lists are like apart from their hits: diverse, novel, popular, calibrated, spread out.

Lists are int32 [n, k], catalog positions, best first, with -1 past the end of a list.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import rel_entr

from rec_gen.metrics import Floats

Lists = npt.NDArray[np.int32]
Categories = npt.NDArray[np.bool_]

SMOOTHING = 0.01
"""The share of the history's categories that is mixed into a list's."""
BATCH = 256


def catalog_coverage(lists: Lists, items: int) -> float:
    """The share of the catalog's items that stand in a list at all.

    Source: Ge, Delgado-Battenfeld and Jannach, "Beyond accuracy: evaluating recommender systems by
    coverage and serendipity", 2010.

    Args:
        lists: int32 [n, k].
        items: The size of the catalog.
    """
    return float(np.count_nonzero(_exposure(lists, items)) / items)


def exposure_gini(lists: Lists, items: int) -> float:
    """The Gini coefficient of how often the catalog's items stand in lists.

    Source: Fleder and Hosanagar, "Blockbuster culture's next rise or fall", 2009.

    Args:
        lists: int32 [n, k].
        items: The size of the catalog.

    Returns:
        0 if all stand there equally often, 1 - 1 / items if one item does alone; NaN if none does.
    """
    counts = np.sort(_exposure(lists, items))
    if not counts.any():
        return float("nan")
    lorenz = np.cumsum(counts) / counts.sum()
    return float((items + 1 - 2 * lorenz.sum()) / items)


def category_diversity(lists: Lists, categories: Categories) -> Floats:
    """The mean Jaccard distance of two items of a list by their categories.

    Source: intra-list diversity of Vargas and Castells, "Rank and relevance in novelty and
    diversity metrics for recommender systems", 2011.

    Args:
        lists: int32 [n, k].
        categories: bool [items, categories]; an item without any is passed over.

    Returns:
        float64 [n], from 0 to 1; NaN for a list with fewer than two such items.
    """

    def distances(shown: Floats) -> Floats:
        shared = shown @ shown.swapaxes(1, 2)
        sizes = shown.sum(axis=2)
        union = sizes[:, :, None] + sizes[:, None] - shared
        return np.asarray(1 - shared / np.maximum(union, 1))

    return _mean_distances(lists, categories.astype(np.float64), distances)


def vector_diversity(lists: Lists, vectors: npt.NDArray[np.floating]) -> Floats:
    """The mean cosine distance of two items of a list; for the source see `category_diversity`.

    Args:
        lists: int32 [n, k].
        vectors: float [items, dimensions]; an item whose vector is 0 is passed over.

    Returns:
        float64 [n], from 0 to 2; NaN for a list with fewer than two such items.
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    units = np.divide(vectors, lengths, out=np.zeros(vectors.shape), where=lengths > 0)
    return _mean_distances(lists, units, lambda shown: 1 - shown @ shown.swapaxes(1, 2))


def novelty(lists: Lists, choosers: npt.NDArray[np.integer], users: int) -> Floats:
    """The mean self-information of a list's items: -log2 of the share of users that chose one.

    Source: Vargas and Castells, "Rank and relevance in novelty and diversity metrics for
    recommender systems", 2011.

    Args:
        lists: int32 [n, k].
        choosers: int [items], how many users chose each item in training; an item of none counts
            as one of a single user, so that it is as novel as can be without being infinite.
        users: The number of users in training.

    Returns:
        float64 [n], bits, from 0 to log2(users); NaN for an empty list.
    """
    return _mean_of_items(lists, np.log2(max(users, 1) / np.maximum(choosers, 1)))


def average_popularity(lists: Lists, popularity: npt.NDArray[np.number]) -> Floats:
    """The mean popularity of a list's items; its mean over lists is the ARP.

    Source: Yin, Cui, Li, Yao and Chen, "Challenging the long tail recommendation", 2012.

    Args:
        lists: int32 [n, k].
        popularity: number [items], such as the interactions with each item in training.

    Returns:
        float64 [n], in the units of `popularity`; NaN for an empty list.
    """
    return _mean_of_items(lists, popularity.astype(np.float64))


def miscalibration(
    lists: Lists, histories: Sequence[npt.NDArray[np.integer]], categories: Categories
) -> Floats:
    """How far the categories of a list are from those of its history: KL(history || list).

    An item's weight is shared by its categories, and every item of a history or list weighs the
    same. A hundredth of the history is mixed into the list, so that no divergence is infinite.

    Source: Steck, "Calibrated recommendations", 2018.

    Args:
        lists: int32 [n, k].
        histories: For each list, the catalog positions that its user chose.
        categories: bool [items, categories]; an item without any is passed over.

    Returns:
        float64 [n], nats, from 0 to ln(100); NaN where a list or its history has no category.
    """
    listed = lists >= 0
    lengths = [len(history) for history in histories]
    wanted = category_shares(np.concatenate(histories), np.array(lengths), categories)
    shown = category_shares(lists[listed], listed.sum(axis=1), categories)
    mixed = (1 - SMOOTHING) * shown + SMOOTHING * wanted
    return np.asarray(rel_entr(wanted, mixed).sum(axis=1))


def category_shares(
    items: npt.NDArray[np.integer], lengths: npt.NDArray[np.integer], categories: Categories
) -> Floats:
    """The share of each category in runs of items; an item's weight is shared by its categories.

    Args:
        items: int [n], catalog positions, run after run.
        lengths: int [runs], how many items each run has.
        categories: bool [items, categories]; an item without any is passed over.

    Returns:
        float64 [runs, categories], 1 in sum; NaN for a run without a category.
    """
    sizes = categories.sum(axis=1, keepdims=True)
    shares = categories / np.maximum(sizes, 1)
    starts = np.append(0, np.cumsum(lengths))
    runs = sparse.csr_array((np.ones(len(items)), items, starts), (len(lengths), len(categories)))
    return _quotient(runs @ shares, runs @ (sizes > 0).astype(np.float64))


def _exposure(lists: Lists, items: int) -> npt.NDArray[np.int64]:
    return np.bincount(lists[lists >= 0], minlength=items)


def _mean_of_items(lists: Lists, values: Floats) -> Floats:
    """The mean value of each list's items, NaN for an empty one."""
    listed = lists >= 0
    return _quotient(np.where(listed, values[lists], 0).sum(axis=1), listed.sum(axis=1))


def _mean_distances(
    lists: Lists, features: Floats, distances: Callable[[Floats], Floats]
) -> Floats:
    """The mean over pairs of each list's items that have a feature other than 0.

    Args:
        lists: int32 [n, k].
        features: float64 [items, features].
        distances: Makes float64 [lists, k, k] of float64 [lists, k, features].

    Returns:
        float64 [n], NaN for a list with fewer than two such items.
    """
    known = np.asarray(features.any(axis=1))
    others = ~np.eye(lists.shape[1], dtype=bool)
    found = np.empty(len(lists))
    for start in range(0, len(lists), BATCH):
        batch = lists[start : start + BATCH]
        kept = (batch >= 0) & known[batch]
        pairs = kept[:, :, None] & kept[:, None] & others
        sums = (distances(features[batch]) * pairs).sum(axis=(1, 2))
        found[start : start + BATCH] = _quotient(sums, pairs.sum(axis=(1, 2)))
    return found


def _quotient(sums: Floats, counts: npt.NDArray[np.number]) -> Floats:
    """Means, NaN where nothing was counted."""
    return np.asarray(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))

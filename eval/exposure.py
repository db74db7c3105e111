"""Who is shown: exposure by groups of items, and how a list's groups differ from its history's.

Lists are int32 [n, k], catalog positions, best first, with -1 past the end of a list.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from eval.beyond_accuracy import Categories, Lists, category_shares
from rec_gen.metrics import Floats


def exposure_shares(lists: Lists, groups: Categories) -> Floats:
    """The share of a list's exposure that each group of items has.

    The item at place r (from 1) is exposed by 1 / log2(r + 1), the discount of NDCG.

    Source: Singh and Joachims, "Fairness of exposure in rankings", 2018.

    Args:
        lists: int32 [n, k].
        groups: bool [items, groups], each item in one group.

    Returns:
        float64 [n, groups], 1 in sum; NaN for an empty list.
    """
    listed = lists >= 0
    weights = listed / np.log2(np.arange(lists.shape[1]) + 2)
    sums = np.einsum("nk,nkg->ng", weights, groups[lists] & listed[:, :, None])
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(sums, total, out=np.full(sums.shape, np.nan), where=total > 0))


def popularity_deviation(
    lists: Lists, histories: Sequence[npt.NDArray[np.integer]], groups: Categories
) -> Floats:
    """How far the popularity of a list is from that of its history.

    The Jensen-Shannon divergence between the shares of the groups in both. Its mean over the users
    of a group is the group's user popularity deviation.

    Source: Abdollahpouri, Mansoury, Burke, Mobasher and Malthouse, "User-centered evaluation of
    popularity bias in recommender systems", 2021.

    Args:
        lists: int32 [n, k].
        histories: For each list, the catalog positions that its user chose.
        groups: bool [items, groups], each item in one group.

    Returns:
        float64 [n], bits, from 0 to 1; NaN where a list or its history is empty.
    """
    listed = lists >= 0
    lengths = np.array([len(history) for history in histories])
    wanted = category_shares(np.concatenate(histories), lengths, groups)
    shown = category_shares(lists[listed], listed.sum(axis=1), groups)
    middle = (wanted + shown) / 2
    both = rel_entr(wanted, middle) + rel_entr(shown, middle)
    return np.asarray(both.sum(axis=1) / (2 * np.log(2)))

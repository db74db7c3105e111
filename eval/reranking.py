"""Re-ranking a finished list for the popularity of its items, which is the usual way."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from eval.beyond_accuracy import Categories
from eval.lists import NOTHING, RankedLists
from rec_gen.metrics import Floats, Ranks


def raise_listed(
    candidates: RankedLists, bonus: Floats, targets: npt.NDArray[np.int64], k: int
) -> RankedLists:
    """The best of each list once every item has a bonus.

    Args:
        candidates: Of n examples, with the log-probabilities of the listed items.
        bonus: float64 [items].
        targets: int64 [n], the held-out items.
        k: The length of the new lists.
    """
    scores = np.where(candidates.items == NOTHING, -np.inf, candidates.scores)
    scores = scores + bonus[candidates.items]
    return _taken(candidates, np.argsort(-scores, axis=1, kind="stable")[:, :k], targets)


def xquad(
    candidates: RankedLists,
    wanted: Floats,
    groups: Categories,
    weight: float,
    targets: npt.NDArray[np.int64],
    k: int,
) -> RankedLists:
    """Build each list greedily of what is likely, and of groups that it still lacks.

    The next item has the highest (1 - weight) P(v) + weight * sum over d of P(d) [v in d]
    (1 - the share of d in the list so far): smooth xQuAD, with the groups of popularity for the
    aspects. P(v) is the item's probability among the candidates, the likeliest one's being 1.

    Source: Abdollahpouri, Burke and Mobasher, "Managing popularity bias in recommender systems with
    personalized re-ranking", 2019.

    Args:
        candidates: Of n examples, with the log-probabilities of the listed items.
        wanted: float64 [n, groups], P(d), the groups' shares of each history; NaN counts as 0.
        groups: bool [items, groups], each item in one group.
        weight: From 0, which leaves the order alone, to 1.
        targets: int64 [n], the held-out items.
        k: The length of the new lists.
    """
    open_ = candidates.items != NOTHING
    likely = softmax(np.where(open_, candidates.scores, -np.inf), axis=1)
    likely /= likely.max(axis=1, keepdims=True)
    members = groups[candidates.items].astype(np.float64)
    rows = np.arange(len(likely))
    counts = np.zeros(wanted.shape)
    order = np.empty((len(likely), min(k, likely.shape[1])), np.int64)
    for place in range(order.shape[1]):
        lacking = np.nan_to_num(wanted) * (1 - counts / max(place, 1))
        scores = (1 - weight) * likely + weight * np.einsum("ncg,ng->nc", members, lacking)
        best = np.where(open_, scores, -np.inf).argmax(axis=1)
        # where nothing is left, the last place holds nothing either
        order[:, place] = np.where(open_.any(axis=1), best, likely.shape[1] - 1)
        open_[rows, order[:, place]] = False
        counts += members[rows, order[:, place]]
    return _taken(candidates, order, targets)


def _taken(
    candidates: RankedLists, order: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]
) -> RankedLists:
    """Lists of the candidates at some places, int64 [n, k]."""
    items = np.take_along_axis(candidates.items, order, axis=1)
    hits = items == targets[:, None]
    places = np.where(hits.any(axis=1), hits.argmax(axis=1), np.inf)
    scores = np.take_along_axis(candidates.scores, order, axis=1)
    return replace(candidates, ranks=Ranks.of_places(places), items=items, scores=scores, cost=None)

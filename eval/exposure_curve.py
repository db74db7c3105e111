"""What NDCG the exposure of rare items costs, by each way to control it, as a curve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from eval.fairness_measures import NDCG, FairnessMeasures
from eval.intervals import Interval
from eval.lists import RankedLists
from eval.measures import SUMMARIES, K, metric_intervals
from eval.ranking import Asked, rank_recommender
from eval.reranking import raise_listed, xquad
from rec_gen.counts import training_popularity
from rec_gen.exposure import rarity

if TYPE_CHECKING:
    from rec_gen.recommender import Recommender

SEARCH, LISTED, XQUAD = "in the search", "of the first 50", "xQuAD of the first 50"
"""The ways: own scores of the search, the same on its finished list, and the usual re-ranking."""
CANDIDATES = 50
"""The length of the lists that are re-ranked, and of the search that is compared with them."""
STRENGTHS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0)
WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
GRIDS = {SEARCH: STRENGTHS, LISTED: STRENGTHS, XQUAD: WEIGHTS}
"""What the strength of each way is chosen among; 0 is the model alone."""

LESS = "difference"
Way = Callable[[float], RankedLists]


@dataclass(frozen=True)
class Point:
    """What a strength comes to.

    Attributes:
        strength: The weight of rarity, or of xQuAD.
        measures: The mean of each measure and its interval.
        difference: What it has of NDCG@10 more than strength 0, paired by example.
        summaries: The measures of all lists together, which have no interval.
    """

    strength: float
    measures: dict[str, Interval]
    difference: Interval
    summaries: dict[str, float]


def ways_of(
    recommender: "Recommender", measures: FairnessMeasures, exclude_seen: bool
) -> dict[str, Way]:
    """Each way to control exposure, which makes lists of a strength.

    The counts are those of the data, so that bundles without any can be measured too.

    Args:
        recommender: The model.
        measures: Whose examples are asked.
        exclude_seen: Take the items of a history out.
    """
    background = measures.background
    catalog, examples = background.dataset.catalog, background.examples
    rare = rarity(training_popularity(background.dataset), len(catalog))
    scores = dict(zip(catalog.ids, rare.tolist(), strict=True))
    alone = rank_recommender(recommender, catalog, examples, exclude_seen, CANDIDATES)

    def search(strength: float) -> RankedLists:
        lister = Asked(recommender, {"item_scores": scores, "item_weight": strength})
        label = f"strength {strength}"
        return rank_recommender(lister, catalog, examples, exclude_seen, CANDIDATES, label)

    targets = background.targets
    others: dict[str, Way] = {
        SEARCH: search,
        LISTED: lambda strength: raise_listed(alone, strength * rare, targets, K),
        XQUAD: lambda weight: xquad(alone, measures.wanted, measures.groups, weight, targets, K),
    }
    return {name: partial(_unless_nothing, way, alone) for name, way in others.items()}


def _unless_nothing(way: Way, alone: RankedLists, strength: float) -> RankedLists:
    return way(strength) if strength else alone


def curve(
    way: Way, strengths: Sequence[float], measures: FairnessMeasures, seed: int
) -> list[Point]:
    """Measure a way at some strengths.

    Args:
        way: What makes lists of a strength.
        strengths: From 0 on.
        measures: The examples.
        seed: Of the bootstrap.
    """
    background, points = measures.background, []
    alone = measures.values(way(0.0))[NDCG]
    for strength in strengths:
        lists = way(strength)
        values = measures.values(lists).with_columns((pl.col(NDCG) - alone).alias(LESS))
        found = metric_intervals(values, background.users, seed)
        summaries = {name: summary(lists, background) for name, summary in SUMMARIES.items()}
        points.append(Point(strength, found, found.pop(LESS), summaries))
    return points


def strongest(points: Sequence[Point], budget: float) -> float:
    """The largest strength up to which no point costs more than the budget.

    Args:
        points: By rising strength, the first the model alone.
        budget: The share of its NDCG@10 that may be lost, as observed.
    """
    least = -budget * points[0].measures[NDCG].mean
    chosen = points[0].strength
    for point in points:
        if point.difference.mean < least:
            break
        chosen = point.strength
    return chosen

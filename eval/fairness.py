"""Exposure control: chosen on the validation split, measured once on test, for whom and why."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl
import polars.selectors as cs

from eval.background import Background
from eval.exposure_curve import GRIDS, SEARCH, curve, strongest, ways_of
from eval.fairness_measures import DEVIATION, EXPLAINED, EXPOSURES, NDCG, FairnessMeasures
from eval.fairness_report import COUNTED, FAIRNESS_PROTOCOL, Fairness
from eval.measures import SUMMARIES, comparisons, metric_intervals
from eval.ranking import rank_baselines
from eval.report import MODEL
from eval.slices import Slice, measure_slice
from eval.user_groups import Gap, largest_gap, user_groups
from rec_gen.counts import MarkovKNN
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError, MissingPackageError
from rec_gen.versions import machine

if TYPE_CHECKING:
    from rec_gen.reasons import Reasons
    from rec_gen.recommender import Recommender

OF_USERS = (NDCG, EXPOSURES["tail"], DEVIATION, EXPLAINED)
"""What groups of users are compared in."""


def evaluate_fairness(
    recommender: "Recommender",
    dataset: Dataset,
    budget: float,
    exclude_seen: bool,
    seed: int,
    columns: Sequence[str] = (),
    *,
    explanations: bool = False,
) -> Fairness:
    """Measure what exposure control costs and whom it serves.

    Args:
        recommender: The model.
        dataset: The data that it was trained on.
        budget: The share of the validation NDCG@10 that control may cost, at least 0, below 1.
        exclude_seen: Take the items of a history out of its list.
        seed: Of the bootstrap, the tests and the order of ties.
        columns: Columns of the users that make groups of them, as in `user.age`.
        explanations: Also count which items share something with the history that can be said.

    Raises:
        ConfigError: The budget is no such number, or a column makes no groups of users.
        DataError: A split holds no interaction.
        MissingPackageError: Explanations are asked for and scikit-learn is not installed.
    """
    if not 0 <= budget < 1:
        raise ConfigError(f"--budget {budget}: give a share of NDCG@10, from 0 to below 1")
    reasons = _reasons(dataset) if explanations else None
    shown = recommender.bundle.manifest.prompt.max_history
    held, test = (
        FairnessMeasures(Background.of(dataset, split), reasons, shown)
        for split in (Split.VALID, Split.TEST)
    )
    groups = user_groups(test.background, columns)
    ways = ways_of(recommender, held, exclude_seen)
    curves = {name: curve(way, GRIDS[name], held, seed) for name, way in ways.items()}
    chosen = {name: strongest(points, budget) for name, points in curves.items()}
    ways = ways_of(recommender, test, exclude_seen)
    lists = {MODEL: ways[SEARCH](0.0)}
    lists |= {name: way(chosen[name]) for name, way in ways.items()}
    background, users = test.background, test.background.users
    lists |= rank_baselines(COUNTED, dataset, background.examples, exclude_seen, seed)
    values = {system: test.values(each) for system, each in lists.items()}
    controlled = {system: values[system] for system in (MODEL, *ways)}
    few = {
        system: values[system].select(cs.by_name(*OF_USERS, require_all=False))
        for system in (MODEL, SEARCH, MarkovKNN.name)
    }
    return Fairness(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        users=len(set(users)),
        examples=len(users),
        budget=budget,
        seed=seed,
        protocol=FAIRNESS_PROTOCOL,
        curves=curves,
        chosen=chosen,
        merit=test.merit(),
        measured={system: metric_intervals(each, users, seed) for system, each in values.items()},
        summaries={
            system: {name: summary(each, background) for name, summary in SUMMARIES.items()}
            for system, each in lists.items()
        },
        differences={
            reference: comparisons(controlled, reference, users, seed)
            for reference in (MODEL, SEARCH)
        },
        groups=[measure_slice(part, few, SEARCH, users, seed) for part in groups],
        gaps=_gaps(few, groups, users, seed),
        **machine(),
    )


def _gaps(
    values: dict[str, pl.DataFrame], groups: Sequence[Slice], users: Sequence[str], seed: int
) -> list[Gap]:
    found = []
    for by in dict.fromkeys(part.by for part in groups):
        parts = [part for part in groups if part.by == by]
        for system, each in values.items():
            for measure in (NDCG, EXPOSURES["tail"]):
                numbers = largest_gap(each[measure].to_numpy(), parts, users, seed)
                found.append(Gap(by, system, measure, *numbers))
    return found


def _reasons(dataset: Dataset) -> "Reasons":
    try:
        from rec_gen.reasons import Reasons
    except ImportError as error:
        raise MissingPackageError(error.name or "scikit-learn", "train") from error
    return Reasons(dataset.catalog)

"""Held-out evaluation over the full catalog: a model, its hybrid and the baselines."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import polars as pl

from eval.background import Background
from eval.baselines import default_baselines
from eval.categories import CategoryShares, mean_shares
from eval.counted_ratings import CountedRatings
from eval.intervals import LEVEL, RESAMPLES
from eval.leaks import check_leaks
from eval.lists import RankedLists, list_rows
from eval.measures import SUMMARIES, K, comparisons, metric_intervals, metric_values
from eval.ranking import Lister, rank_baselines, rank_recommender
from eval.ratings import Questions, evaluate_ratings
from eval.reliability import list_reliability
from eval.report import HYBRID, MODEL, Evaluation
from eval.sasrec import SASRec
from eval.significance import FLIPS
from eval.slices import measure_slice, slices
from eval.unconstrained import FreeGeneration, generate_freely
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError
from rec_gen.versions import machine

if TYPE_CHECKING:
    from rec_gen.bundle import Bundle

PROTOCOL = (
    "Every held-out interaction is predicted from all that came before it and ranked among the "
    "full catalog by item id. Baselines learn from training sequences only; a tied item scores its "
    "mean over all orders of the ties, which stand in lists in an order drawn by a hash of item id "
    f"and seed. Intervals are {LEVEL} % percentile bootstrap intervals, {RESAMPLES} resamples of "
    "users; differences are paired by example. p-values are those of "
    f"{FLIPS:,} random sign flips of users, corrected by Holm for the number of systems; those "
    "of a slice are not corrected for how many slices there are. "
)
CHOSEN = "SASRec keeps the epoch that ranks best on the validation split. "
SEEN_EXCLUDED = "Items of the history are excluded, and a target among them is a miss."
SEEN_KEPT = "Items of the history may be recommended again."


def evaluate(
    recommender: Lister,
    dataset: Dataset,
    split: Split,
    exclude_seen: bool,
    seed: int,
    hybrid: Lister | None = None,
    *,
    baselines: Sequence[str] | None = None,
    columns: Sequence[str] = (),
    bundle: "Bundle | None" = None,
    allowed_leaks: Collection[str] = (),
    unconstrained: int = 0,
    categories: str | None = None,
    ratings: bool = False,
) -> Evaluation:
    """Measure a model and the baselines on the same held-out interactions.

    Args:
        recommender: The model.
        dataset: The data; baselines learn from its training sequences.
        split: Which interactions to predict.
        exclude_seen: Take the items of a history out of its list. A target that is one of them
            then counts as a miss, for every system alike.
        seed: Of the bootstrap, of the order of ties, and of what is generated freely.
        hybrid: The model joined with a prior, for a row of its own.
        baselines: Names of `eval.baselines.BASELINES`; None is those that need only counts.
        columns: Columns of the catalog that slice the examples too.
        bundle: The model's bundle, whose spellings and data are checked for leaks.
        allowed_leaks: Checks that may fail.
        unconstrained: For how many examples the bundle's model also answers freely.
        categories: The catalog's column of categories, for the measures that need them.
        ratings: Whether the bundle's model also says yes or no to held-out items.

    Raises:
        BundleError: The bundle's model did not learn to say yes or no.
        ConfigError: A column cannot slice or has no categories, a leak that is allowed has no
            check, ratings are all a yes or all a no, or SASRec is asked for on the split that it
            chooses its epoch on.
        DataError: The split holds no interaction, a leak is found, or a baseline refuses the
            catalog.
        MissingPackageError: The package of a baseline, or of counted ratings, is not installed.
    """
    if split is Split.VALID and "sasrec" in (baselines or ()):
        raise ConfigError(
            "--baselines sasrec: chooses its epoch on the validation split, so its numbers there "
            "say nothing: leave it out, or choose --split test"
        )
    leaks = check_leaks(dataset, bundle, allowed_leaks)
    background = Background.of(dataset, split, categories)
    parts = slices(background, columns)
    names, left_out = default_baselines(dataset) if baselines is None else (baselines, {})
    examples, users = background.examples, background.users
    # first, since what cannot be had is told in minutes, and a model may take hours
    questions = Questions.of(bundle, dataset, examples) if bundle and ratings else None
    counted = CountedRatings.fit(dataset, questions.liked_from, seed) if questions else None
    others = rank_baselines(names, dataset, examples, exclude_seen, seed)
    listers = {MODEL: recommender} | ({} if hybrid is None else {HYBRID: hybrid})
    lists = {
        system: rank_recommender(lister, dataset.catalog, examples, exclude_seen, label=system)
        for system, lister in listers.items()
    } | others
    values = {system: metric_values(lists[system], background) for system in lists}
    calibration = bundle and bundle.manifest.calibration.get(bundle.manifest.score)
    free: list[FreeGeneration] = []
    if bundle and unconstrained:
        free = generate_freely(bundle, dataset.catalog, examples, unconstrained, seed)
    return Evaluation(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        split=str(split),
        exclude_seen=exclude_seen,
        seed=seed,
        users=len(set(users)),
        examples=len(examples),
        protocol=protocol(exclude_seen, lists),
        **machine(),
        leaks=leaks,
        left_out=left_out,
        systems={system: metric_intervals(values[system], users, seed) for system in values},
        differences=comparisons(values, MODEL, users, seed),
        summaries={
            system: {
                name: summary(lists[system], background) for name, summary in SUMMARIES.items()
            }
            for system in lists
        },
        costs={system: cost for system in lists if (cost := lists[system].cost)},
        slices=[measure_slice(part, values, MODEL, users, seed) for part in parts],
        unconstrained=free,
        categories=_category_shares(background, lists),
        ratings=evaluate_ratings(bundle, questions, counted, MODEL, seed)
        if bundle and questions and counted
        else None,
        reliability=list_reliability(lists[MODEL], examples, calibration, exclude_seen)
        if calibration and split is not Split.VALID
        else [],
        rows=pl.concat(
            list_rows(system, lists[system], dataset.catalog, examples) for system in lists
        ),
    )


def _category_shares(
    background: Background, lists: dict[str, RankedLists]
) -> CategoryShares | None:
    if background.categories is None:
        return None
    first = {system: each.items[:, :K] for system, each in lists.items()}
    return mean_shares(background.categories, background.histories, first)


def protocol(exclude_seen: bool, systems: Collection[str]) -> str:
    """How the numbers of some systems come about, in words."""
    chosen = CHOSEN if SASRec.name in systems else ""
    return PROTOCOL + chosen + (SEEN_EXCLUDED if exclude_seen else SEEN_KEPT)

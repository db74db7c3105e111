"""Held-out evaluation over the full catalog: a model, its hybrid and the counted baselines."""

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from eval.baselines import Baseline, Popularity
from eval.intervals import LEVEL, RESAMPLES, Interval, mean_intervals
from eval.report import HYBRID, MODEL, Evaluation
from rec_gen.catalog import Catalog
from rec_gen.counts import ItemKNN, MarkovKNN
from rec_gen.data.dataset import Dataset, Example, Split
from rec_gen.errors import DataError
from rec_gen.metrics import CUTOFFS, Ranks, mrr, ndcg, recall
from rec_gen.versions import installed_versions

if TYPE_CHECKING:
    from rec_gen.answers import Answer, Recommendation
    from rec_gen.recommender import Recommender

Floats = npt.NDArray[np.float64]

METRICS = {f"{metric.__name__}@{k}": (metric, k) for metric in (recall, ndcg, mrr) for k in CUTOFFS}
BATCH = 64

PROTOCOL = (
    "Every held-out interaction is predicted from all that came before it and ranked among the "
    f"full catalog by item id. Baselines count training sequences only; a tied item scores "
    f"its mean over all orders of the ties. Intervals are {LEVEL} % percentile bootstrap "
    f"intervals, {RESAMPLES} resamples of users; differences are paired by example. "
)
SEEN_EXCLUDED = "Items of the history are excluded, and a target among them is a miss."
SEEN_KEPT = "Items of the history may be recommended again."


class Lister(Protocol):
    """What is evaluated."""

    def recommend(
        self, histories: Sequence[Sequence[str]], /, *, k: int, exclude_seen: bool
    ) -> Sequence[Sequence["Recommendation"]]:
        """Recommend up to `k` items, best first, for each history of item ids, oldest first."""


@dataclass(frozen=True)
class Hybrid:
    """A model joined with the counted prior of its bundle.

    Attributes:
        recommender: The model.
        weight: The prior's.

    Raises:
        BundleError: The bundle holds no prior.
        DecodingError: The weight is no number of at least 0.
    """

    recommender: "Recommender"
    weight: float

    def __post_init__(self) -> None:
        self.recommender.recommend([], prior_weight=self.weight)

    def recommend(
        self, histories: Sequence[Sequence[str]], /, *, k: int, exclude_seen: bool
    ) -> Sequence["Answer"]:
        """Recommend up to `k` items, best first, for each history; see `Lister`."""
        return self.recommender.recommend(
            histories, k, exclude_seen=exclude_seen, prior_weight=self.weight
        )


def evaluate(
    recommender: Lister,
    dataset: Dataset,
    split: Split,
    exclude_seen: bool,
    seed: int,
    hybrid: Lister | None = None,
) -> Evaluation:
    """Measure a model and the baselines on the same held-out interactions.

    Args:
        recommender: The model.
        dataset: The data; baselines count its training sequences.
        split: Which interactions to predict.
        exclude_seen: Take the items of a history out of its list. A target that is one of them
            then counts as a miss, for every system alike.
        seed: Of the bootstrap.
        hybrid: The model joined with a prior, for a row of its own.

    Raises:
        DataError: The split holds no interaction.
    """
    examples = held_out(dataset, split)
    listers = {MODEL: recommender} | ({} if hybrid is None else {HYBRID: hybrid})
    ranks = {
        system: rank_recommender(lister, dataset.catalog, examples, exclude_seen, label=system)
        for system, lister in listers.items()
    } | rank_baselines(dataset, examples, exclude_seen)
    values = {system: metric_values(ranks[system]) for system in ranks}
    users = [example.user for example in examples]
    return Evaluation(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        split=str(split),
        exclude_seen=exclude_seen,
        seed=seed,
        users=len(set(users)),
        examples=len(examples),
        protocol=protocol(exclude_seen),
        versions=installed_versions(),
        systems={system: metric_intervals(values[system], users, seed) for system in values},
        differences={
            system: metric_intervals(values[MODEL] - values[system], users, seed)
            for system in values
            if system != MODEL
        },
    )


def protocol(exclude_seen: bool) -> str:
    """How the numbers come about, in words."""
    return PROTOCOL + (SEEN_EXCLUDED if exclude_seen else SEEN_KEPT)


def held_out(dataset: Dataset, split: Split) -> list[Example]:
    """The interactions of a split.

    Raises:
        DataError: It holds none.
    """
    examples = list(dataset.examples(split))
    if not examples:
        raise DataError(f"{dataset.name}: split '{split}' holds no interaction to evaluate on")
    return examples


def rank_baselines(
    dataset: Dataset, examples: Sequence[Example], exclude_seen: bool
) -> dict[str, Ranks]:
    """Fit every baseline and rank each target in its order; by name, see `rank_baseline`."""
    baselines: list[Baseline] = [Popularity(), ItemKNN(), MarkovKNN()]
    return {
        baseline.name: rank_baseline(baseline.fit(dataset), examples, exclude_seen)
        for baseline in baselines
    }


def rank_baseline(baseline: Baseline, examples: Sequence[Example], exclude_seen: bool) -> Ranks:
    """Rank each target in a fitted baseline's order of the whole catalog.

    Args:
        baseline: A fitted baseline.
        examples: The n examples.
        exclude_seen: Take the items of a history out; a target among them gets infinity.

    Returns:
        The ranks of the n targets.
    """
    ends = np.empty((2, len(examples)))
    for batch in _batches(examples):
        part = examples[batch]
        scores = baseline.score([example.history for example in part])
        if exclude_seen:
            for row, example in zip(scores, part, strict=True):
                row[example.history] = -np.inf
        ranks = Ranks.of_scores(scores, np.array([example.target for example in part]))
        ends[:, batch] = ranks.best, ranks.worst
    if exclude_seen:
        ends[:, _repeated(examples)] = np.inf
    return Ranks(*ends)


def rank_recommender(
    recommender: Lister,
    catalog: Catalog,
    examples: Sequence[Example],
    exclude_seen: bool,
    k: int = max(CUTOFFS),
    label: str = MODEL,
) -> Ranks:
    """Rank each target, by item id, in a model's list; shows a progress bar on stderr.

    Args:
        recommender: The model.
        catalog: The items that the examples' positions stand for.
        examples: The n examples.
        exclude_seen: Take the items of a history out; a target among them gets infinity.
        k: The length of a list.
        label: What the progress bar says of the model.

    Returns:
        The ranks of the n targets, infinity where the list does not hold one.
    """
    places = np.full(len(examples), np.inf)
    repeated = _repeated(examples) if exclude_seen else np.zeros(len(examples), dtype=bool)
    asked = np.flatnonzero(~repeated)
    console = Console(stderr=True)
    for batch in track(
        _batches(asked),
        f"evaluating {label}",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        part = [examples[row] for row in asked[batch]]
        histories = [[catalog.ids[place] for place in example.history] for example in part]
        lists = recommender.recommend(histories, k=k, exclude_seen=exclude_seen)
        for row, example, found in zip(asked[batch], part, lists, strict=True):
            ids = [recommendation.item.id for recommendation in found]
            target = catalog.ids[example.target]
            if target in ids:
                places[row] = ids.index(target)
    return Ranks.of_places(places)


def metric_values(ranks: Ranks) -> Floats:
    """What each example scores, float64 [n, metrics] in the order of `METRICS`."""
    return np.stack([metric(ranks, k) for metric, k in METRICS.values()], axis=1)


def metric_intervals(values: Floats, users: Sequence[str], seed: int) -> dict[str, Interval]:
    """The mean of each metric with its interval; see `mean_intervals`."""
    return dict(zip(METRICS, mean_intervals(values, users, seed), strict=True))


def _batches(rows: Sized) -> list[slice]:
    return [slice(start, start + BATCH) for start in range(0, len(rows), BATCH)]


def _repeated(examples: Sequence[Example]) -> npt.NDArray[np.bool_]:
    return np.array([example.target in example.history for example in examples], dtype=bool)

"""A recipe's benchmark: some seeds, a hybrid chosen on validation, the test split once a seed."""

from collections.abc import Collection, Sequence

import numpy as np
import polars as pl
from rich.console import Console

from eval.background import Background, held_out
from eval.baselines import default_baselines
from eval.benchmark_report import Benchmark
from eval.evaluate import protocol
from eval.leaks import check_leaks
from eval.measures import comparisons, means_of, metric_intervals, metric_values
from eval.ranking import Hybrid, Lister, rank_baselines, rank_recommender
from eval.report import HYBRID, MODEL
from eval.seeds import minutes_of
from rec_gen.counts import MarkovKNN
from rec_gen.data.dataset import Dataset, Split
from rec_gen.metrics import ndcg
from rec_gen.recommender import Recommender

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
"""What the prior's weight is chosen among; at 0 the hybrid is the model."""
CHOICE = 4000
"""Validation examples that it is chosen on at most: one sample, the same for every seed."""
SEED = 0
"""Draws this sample, the bootstrap and the order of ties."""


def benchmark(
    recommenders: Sequence[Recommender],
    dataset: Dataset,
    exclude_seen: bool,
    allowed_leaks: Collection[str] = (),
) -> Benchmark:
    """Measure one recipe's models, each trained with a seed of its own.

    The test split is ranked once by each model and once by its hybrid, whose weight was chosen on
    the validation split. What an example scores is averaged over the seeds before users are
    resampled.

    Args:
        recommenders: One a seed; nobody has changed their catalogs.
        dataset: What they were trained on.
        exclude_seen: Take the items of a history out of its list, for every system alike.
        allowed_leaks: Checks for leaks in the data set that may fail.

    Raises:
        BundleError: A bundle holds no prior, or does not say how long it trained.
        DataError: The validation or the test split holds no interaction, or a leak is found.
    """
    leaks = check_leaks(dataset, allowed=allowed_leaks)
    minutes = [minutes_of(recommender) for recommender in recommenders]
    background = Background.of(dataset, Split.TEST)
    examples, users = background.examples, background.users
    validation = rank_weights(recommenders, dataset, exclude_seen)
    weight = max(validation, key=lambda weight: validation[weight])

    def measure(recommender: Recommender, weight: float, system: str) -> pl.DataFrame:
        label = f"{system} of seed {recommender.bundle.manifest.seed}"
        lister = _joined(recommender, weight)
        lists = rank_recommender(lister, dataset.catalog, examples, exclude_seen, label=label)
        return metric_values(lists, background)

    values = {MODEL: [measure(recommender, 0.0, MODEL) for recommender in recommenders]}
    values[HYBRID] = (
        [measure(recommender, weight, HYBRID) for recommender in recommenders]
        if weight
        else values[MODEL]
    )
    by_seed = {system: [means_of(each) for each in seeds] for system, seeds in values.items()}
    means = {
        system: pl.DataFrame(np.mean(seeds, axis=0), seeds[0].schema)
        for system, seeds in values.items()
    }
    names, left_out = default_baselines(dataset)
    for name, lists in rank_baselines(names, dataset, examples, exclude_seen, SEED).items():
        means[name] = metric_values(lists, background)
    compared = {system: means[system] for system in (*by_seed, MarkovKNN.name)}
    return Benchmark(
        name=recommenders[0].bundle.manifest.name,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        exclude_seen=exclude_seen,
        users=len(set(users)),
        examples=len(examples),
        protocol=protocol(exclude_seen, means),
        leaks=leaks,
        left_out=left_out,
        seeds=[recommender.bundle.manifest.seed for recommender in recommenders],
        minutes=minutes,
        prior_weight=weight,
        validation=validation,
        systems={system: metric_intervals(means[system], users, SEED) for system in means},
        by_seed=by_seed,
        differences={
            system: {metric: less.reversed() for metric, less in metrics.items()}
            for system, metrics in comparisons(compared, MarkovKNN.name, users, SEED).items()
        },
    )


def rank_weights(
    recommenders: Sequence[Recommender], dataset: Dataset, exclude_seen: bool
) -> dict[float, float]:
    """The mean NDCG@10 over seeds of each weight of the prior, on the validation split.

    Raises:
        BundleError: A bundle holds no prior.
        DataError: The split holds no interaction.
    """
    examples = held_out(dataset, Split.VALID)
    if len(examples) > CHOICE:
        chosen = np.random.default_rng(SEED).choice(len(examples), CHOICE, replace=False)
        examples = [examples[row] for row in np.sort(chosen)]
    found = np.empty((len(recommenders), len(WEIGHTS)))
    console = Console(stderr=True)
    for row, recommender in zip(found, recommenders, strict=True):
        seed = recommender.bundle.manifest.seed
        for column, weight in enumerate(WEIGHTS):
            label = f"weight {weight} of seed {seed} on validation"
            lists = rank_recommender(
                _joined(recommender, weight), dataset.catalog, examples, exclude_seen, label=label
            )
            row[column] = ndcg(lists.ranks, 10).mean()
            line = f"seed {seed}, prior weight {weight}: validation NDCG@10 {row[column]:.4f}"
            console.print(line, highlight=False)
    return dict(zip(WEIGHTS, found.mean(axis=0).tolist(), strict=True))


def _joined(recommender: Recommender, weight: float) -> Lister:
    return Hybrid(recommender, weight) if weight else recommender

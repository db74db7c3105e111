"""For whom an arm of an experiment is better."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from eval.background import Background
from eval.experiment_config import ExperimentConfig
from eval.slices import Slice, SliceResult, measure_slice, slices
from rec_gen.data.dataset import Dataset, Example, Split
from rec_gen.errors import ConfigError


def slice_examples(
    config: ExperimentConfig, dataset: Dataset, examples: Sequence[Example]
) -> list[Slice]:
    """The parts of an experiment's examples; a slicing with one part is left out.

    Args:
        config: The experiment.
        dataset: The data, whose training interactions say what is popular.
        examples: The n examples.

    Raises:
        ConfigError: A column cannot slice.
    """
    background = replace(Background.of(dataset, Split(config.split)), examples=list(examples))
    try:
        parts = slices(background, config.slices)
    except ConfigError as error:
        raise ConfigError(f"key 'slices': {error}") from error
    counts = Counter(part.by for part in parts)
    return [part for part in parts if counts[part.by] > 1]


def measure_arms(
    part: Slice,
    values: Mapping[str, pl.DataFrame],
    baseline: str,
    users: Sequence[str],
    seed: int,
) -> SliceResult:
    """Measure all arms in a part of the examples, each arm less the baseline.

    Args:
        part: The slice.
        values: By arm, n rows, a column a metric.
        baseline: The arm that the others are compared with.
        users: The n examples' users.
        seed: Of the bootstrap and of the sign flips.
    """
    found = measure_slice(part, values, baseline, users, seed)
    gains = {
        arm: {metric: less.reversed() for metric, less in metrics.items()}
        for arm, metrics in found.differences.items()
    }
    return replace(found, differences=gains)

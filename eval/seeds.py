"""What the benchmarks of a recipe share, which train it with several seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from eval.report import format_number
from eval.result_json import to_json
from rec_gen.errors import BundleError
from rec_gen.files import write_text
from rec_gen.recommender import Recommender
from rec_gen.versions import machine


def minutes_of(recommender: Recommender) -> float:
    """What the training of a bundle took.

    Raises:
        BundleError: The bundle does not say.
    """
    manifest = recommender.bundle.manifest
    if manifest.minutes is None:
        raise BundleError(
            f"the bundle '{manifest.name}' does not say how long it trained: train it again"
        )
    return manifest.minutes


def save_result(
    path: Path,
    figures: Mapping[str, Any],
    result: Mapping[str, Any],
    recipe: str,
    overrides: Sequence[str],
) -> None:
    """Write a benchmark as JSON beside its place and rename it.

    Args:
        path: The file.
        figures: The numbers by which the recipe is judged.
        result: All that was found.
        recipe: The text of the recipe.
        overrides: What was changed in it.
    """
    run = {"recipe": recipe, "overrides": list(overrides)}
    write_text(path, to_json({"figures": figures, **result, **machine(), **run}))


def print_training(
    console: Console,
    weight: float,
    metric: str,
    validation: Mapping[float, float],
    minutes: Sequence[float],
) -> None:
    """Print how the hybrid's weight was chosen, and what training took.

    Args:
        console: Where to.
        weight: The weight.
        metric: What it was chosen by.
        validation: By weight, the metric on the validation split.
        minutes: Of each seed.
    """
    chosen = ", ".join(f"{format_number(value)} at {each}" for each, value in validation.items())
    spent = ", ".join(f"{each:.1f}" for each in minutes)
    for line in (
        f"the hybrid's weight is {weight}, by validation {metric}: {chosen}",
        f"minutes of training, by seed: {spent}",
    ):
        console.print(line, highlight=False)

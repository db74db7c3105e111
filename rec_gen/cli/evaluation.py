"""`recgen evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rec_gen.cli.common import bundle_dataset, quiet
from rec_gen.errors import ConfigError

if TYPE_CHECKING:
    from rec_gen.data.dataset import Dataset
    from rec_gen.recommender import Recommender


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["valid", "test"]), default="test", show_default=True)
@click.option("--include-seen", is_flag=True, help="Items of the history may be returned.")
@click.option(
    "--prior-weight",
    default=0.0,
    show_default=True,
    help="Above 0, also show the hybrid with the bundle's counted prior.",
)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the result here.")
def evaluate(
    bundle: Path, split: str, include_seen: bool, prior_weight: float, json_path: Path | None
) -> None:
    """Compare a bundle with counted baselines on held-out interactions, over the full catalog.

    \b
    recgen evaluate runs/quickstart/bundle --json result.json
    recgen evaluate runs/quickstart/bundle --prior-weight 0.1
    """
    from rec_gen.recommender import Recommender

    quiet()
    refuse_unwritable(json_path)
    recommender = Recommender.load(bundle)
    dataset = bundle_dataset(recommender.bundle)
    compare(recommender, dataset, split, include_seen, json_path, prior_weight)


def refuse_unwritable(json_path: Path | None) -> None:
    """Say at once that a result could not be written, and not after the work.

    Raises:
        ConfigError: The path is no file in an existing folder.
    """
    if json_path and (json_path.is_dir() or not json_path.absolute().parent.is_dir()):
        raise ConfigError(f"--json {json_path}: is not a file in an existing folder")


def compare(
    recommender: "Recommender",
    dataset: "Dataset",
    split: str,
    include_seen: bool,
    json_path: Path | None,
    prior_weight: float = 0.0,
) -> None:
    """Print the comparison of a model with the baselines, and write it where asked.

    Raises:
        BundleError: A prior has a weight, and the bundle holds none.
        DecodingError: The weight is no number of at least 0.
    """
    from rich.console import Console

    from eval.evaluate import Hybrid, evaluate
    from rec_gen.data.dataset import Split

    hybrid = Hybrid(recommender, prior_weight) if prior_weight else None
    result = evaluate(
        recommender,
        dataset,
        Split(split),
        exclude_seen=not include_seen,
        seed=recommender.bundle.manifest.seed,
        hybrid=hybrid,
    )
    result.render(Console())
    if json_path:
        result.save(json_path)

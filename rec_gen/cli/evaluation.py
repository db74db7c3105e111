"""`recgen evaluate`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rec_gen.cli.common import ALLOW_LEAK, DOMAIN, recipe_dataset, table_console
from rec_gen.cli.reporting import refuse_folder, refuse_others_page, taken, write_beside
from rec_gen.errors import ConfigError
from rec_gen.notices import quiet

if TYPE_CHECKING:
    from eval.report import Evaluation
    from rec_gen.data.dataset import Dataset
    from rec_gen.recommender import Recommender


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["valid", "test"]), default="test", show_default=True)
@DOMAIN
@click.option("--include-seen", is_flag=True, help="Items of the history may be returned.")
@click.option(
    "--prior-weight",
    default=0.0,
    show_default=True,
    help="Above 0, also show the hybrid with the bundle's counted prior.",
)
@click.option(
    "--baselines",
    metavar="NAMES",
    help="Of popularity, recency, itemknn, markov, ease, content, als and sasrec; default: the "
    "first five. content encodes the items' text, sasrec trains a transformer, for minutes.",
)
@click.option(
    "--slice",
    "columns",
    multiple=True,
    metavar="COLUMN",
    help="Also slice by a column of the catalog, or of the users as in user.age, and show it.",
)
@click.option(
    "--categories",
    metavar="COLUMN",
    help="Also measure the lists' diversity and calibration by a column of the catalog.",
)
@click.option(
    "--ratings", is_flag=True, help="Also score yes or no, where the model learnt to say it."
)
@click.option("--slices", "show_slices", is_flag=True, help="Show a table for each slicing.")
@click.option(
    "--unconstrained",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Let the model answer N examples without constraints, and count what is wrong.",
)
@click.option("--sampled-negatives", metavar="N", help="Is refused, and says why.")
@ALLOW_LEAK
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path),
    help="Write the result here; beside it each example's lists as Parquet, and a page, as HTML.",
)
def evaluate(
    bundle: Path,
    split: str,
    domain: str | None,
    include_seen: bool,
    prior_weight: float,
    baselines: str | None,
    columns: Sequence[str],
    categories: str | None,
    ratings: bool,
    show_slices: bool,
    unconstrained: int,
    sampled_negatives: str | None,
    allowed_leaks: Sequence[str],
    json_path: Path | None,
) -> None:
    """Compare a bundle with baselines on held-out interactions, over the full catalog.

    \b
    recgen evaluate runs/quickstart/bundle --json result.json
    recgen evaluate runs/quickstart/bundle --prior-weight 0.1
    recgen evaluate runs/quickstart/bundle --slice genres --baselines markov,ease
    recgen evaluate runs/quickstart/bundle --slice user.occupation
    recgen evaluate runs/quickstart/bundle --categories genres
    recgen evaluate runs/movielens-tasks/bundle --ratings
    recgen evaluate runs/quickstart/bundle --unconstrained 100
    """
    from eval.baselines import parse_baselines
    from rec_gen.recommender import Recommender

    if sampled_negatives is not None:
        raise ConfigError(
            "--sampled-negatives: a metric over sampled negatives can order systems otherwise than "
            "the metric itself (Krichene & Rendle 2020): leave it out, the full catalog is ranked"
        )
    names = None if baselines is None else parse_baselines(baselines)
    quiet()
    refuse_unwritable(json_path)
    _refuse_others_rows(json_path)
    recommender = Recommender.load(bundle, domain=domain)
    dataset = recipe_dataset(recommender.bundle)
    result = compare(
        recommender,
        dataset,
        split,
        include_seen,
        prior_weight=prior_weight,
        baselines=names,
        columns=columns,
        categories=categories,
        ratings=ratings,
        unconstrained=unconstrained,
        allowed_leaks=allowed_leaks,
    )
    show(result, json_path, bundle.absolute().parent, slices=show_slices or bool(columns))


def refuse_unwritable(json_path: Path | None) -> None:
    """Say at once that a result or its page could not be written, and not after the work.

    Raises:
        ConfigError: The path is no file in an existing folder that can be written, or something
            else is where the page goes.
    """
    if json_path is None:
        return
    refuse_folder(json_path, f"--json {json_path}")
    refuse_others_page(json_path, f"--json {json_path}")


def _refuse_others_rows(json_path: Path | None) -> None:
    """Do not write the Parquet file where something else has its name.

    Raises:
        ConfigError: A folder has, or a file that no evaluation wrote.
    """
    if json_path:
        rows = json_path.with_suffix(".parquet")
        if rows == json_path or (rows.exists() and not _is_evaluation(json_path)):
            raise taken(f"--json {json_path}", rows, "each example's lists")


def _is_evaluation(json_path: Path) -> bool:
    try:
        table = json.loads(json_path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(table, dict) and "systems" in table


def compare(
    recommender: "Recommender",
    dataset: "Dataset",
    split: str,
    include_seen: bool,
    *,
    prior_weight: float = 0.0,
    baselines: Sequence[str] | None = None,
    columns: Sequence[str] = (),
    categories: str | None = None,
    ratings: bool = False,
    unconstrained: int = 0,
    allowed_leaks: Sequence[str] = (),
) -> "Evaluation":
    """Compare a model with baselines, as `recgen evaluate` does.

    Raises:
        BundleError: A prior has a weight, and the bundle holds none.
        DecodingError: The weight is no number of at least 0.
        RecGenError: As `eval.evaluate.evaluate` says.
    """
    from eval.evaluate import evaluate
    from eval.ranking import Hybrid
    from rec_gen.data.dataset import Split

    return evaluate(
        recommender,
        dataset,
        Split(split),
        exclude_seen=not include_seen,
        seed=recommender.bundle.manifest.seed,
        hybrid=Hybrid(recommender, prior_weight) if prior_weight else None,
        baselines=baselines,
        columns=columns,
        categories=categories,
        ratings=ratings,
        bundle=recommender.bundle,
        allowed_leaks=allowed_leaks,
        unconstrained=unconstrained,
    )


def show(result: "Evaluation", json_path: Path | None, run: Path, *, slices: bool = False) -> None:
    """Print a comparison, and write it where asked.

    Args:
        result: The comparison.
        json_path: Where the JSON goes; the rows and the page get its name with their suffixes.
        run: The folder around the bundle; where it is a training run's, the page has its curves.
        slices: Print a table for each slicing too.
    """
    result.render(table_console(), slices=slices)
    if json_path:
        result.save(json_path)
        write_beside(json_path, run)

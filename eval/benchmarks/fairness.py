"""Exposure control and whom it serves: `python -m eval.benchmarks.fairness --json FILE`.

The quickstart's model is trained by `recgen train`. How much exposure can rare items have for a
part of its NDCG@10, and is the control better in the search than on a finished list?
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from eval.exposure_curve import SEARCH, Point
from eval.fairness import evaluate_fairness
from eval.fairness_measures import NDCG
from eval.fairness_report import TAIL, Fairness
from rec_gen.cli.common import Command, bundle_dataset, table_console
from rec_gen.errors import RecGenError
from rec_gen.files import new_file

COLUMNS = ("user.gender", "user.age", "user.occupation")
BUDGET = 0.02


def train(recipe: str, folder: Path) -> Path:
    """Train in a process of its own, going on where an earlier one stopped; gives the bundle.

    Raises:
        RecGenError: The training failed.
    """
    command = [sys.executable, "-m", "rec_gen", "train", recipe, "--out", str(folder)]
    if subprocess.run([*command, "--max-minutes", "600"], check=False).returncode:
        raise RecGenError(f"{recipe}: the training failed; its message stands above")
    return folder / "bundle"


def measure(bundle: Path, budget: float, columns: Sequence[str]) -> Fairness:
    """Look at the fairness of a bundle on its own data."""
    from rec_gen.recommender import Recommender

    recommender = Recommender.load(bundle)
    return evaluate_fairness(
        recommender,
        bundle_dataset(recommender.bundle),
        budget,
        exclude_seen=True,
        seed=recommender.bundle.manifest.seed,
        columns=columns,
        explanations=True,
    )


def draw(found: Fairness, path: Path) -> None:
    """Draw what exposure of the tail costs on validation, a line a way, as SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for name, points in found.curves.items():
        ndcg, tail = _means(points, NDCG), _means(points, TAIL)
        (line,) = axes.plot(tail, ndcg, "o-", label=name, alpha=0.8, markersize=4)
        chosen = [point.strength for point in points].index(found.chosen[name])
        axes.plot(tail[chosen], ndcg[chosen], "o", color=line.get_color(), markersize=9)
    search = found.curves[SEARCH]
    low, high = ([getattr(point.measures[NDCG], end) for point in search]
                 for end in ("low", "high"))  # fmt: skip
    axes.fill_between(_means(search, TAIL), low, high, alpha=0.12)
    axes.set(xlabel="exposure of the tail", ylabel="validation NDCG@10")
    axes.legend()
    axes.grid(alpha=0.3)
    with rc_context({"svg.hashsalt": "recgen"}), new_file(path) as part:
        figure.savefig(part, format="svg", metadata={"Date": None})


def _means(points: Sequence[Point], measure: str) -> list[float]:
    return [point.measures[measure].mean for point in points]


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all of it here.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the curves here, FILE.svg.")
@click.option("--recipe", default="quickstart", show_default=True)
@click.option("--budget", default=BUDGET, show_default=True, help="The share of NDCG@10 to spend.")
@click.option(
    "--by", "columns", multiple=True, default=COLUMNS, show_default=True, metavar="COLUMN",
    help="Columns of the users that make groups.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Keep the run here, to go on later.")
def main(
    json_path: Path | None,
    plot: Path | None,
    recipe: str,
    budget: float,
    columns: Sequence[str],
    out: Path | None,
) -> None:
    """Train a recipe and look at whom it shows, and to whom."""
    with TemporaryDirectory() as temporary:
        found = measure(train(recipe, out or Path(temporary) / "run"), budget, columns)
    found.render(table_console())
    if json_path:
        found.save(json_path)
    if plot:
        draw(found, plot)


if __name__ == "__main__":
    main()

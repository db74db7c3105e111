"""`recgen train`, `recgen refine`, `recgen compress` and `recgen quickstart`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rec_gen.cli.common import OVERRIDES, bundle_dataset, data_config, print_answer
from rec_gen.cli.evaluation import compare, show
from rec_gen.errors import MissingPackageError
from rec_gen.notices import quiet

if TYPE_CHECKING:
    from rec_gen.data.dataset import Dataset
    from rec_gen.recommender import Recommender
    from training.recipe import Recipe


@click.command()
@click.argument("recipe")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default: runs/NAME.")
@click.option("--data", help="Instead of the recipe's: a name, a TOML file or a prepared folder.")
@click.option("--max-minutes", type=float, help="Stop training after this time.")
@click.option("--restart", is_flag=True, help="Begin anew, although the folder holds a run.")
@OVERRIDES
def train(
    recipe: str,
    out: Path | None,
    data: str | None,
    max_minutes: float | None,
    restart: bool,
    overrides: Sequence[str],
) -> None:
    """Fine-tune a model; the same command goes on where an interrupted run stopped.

    RECIPE is a TOML file or the name of a recipe that comes with the package.

    \b
    recgen train quickstart
    recgen train training/recipes/smollm2-qlora.toml --set max_steps=20
    recgen train quickstart --data shop.toml --out runs/shop
    """
    if max_minutes is not None:
        overrides = [*overrides, f"train.max_minutes={max_minutes}"]
    from rec_gen.data.prepare import load_dataset
    from rec_gen.manifest import read_manifest
    from training.processes import is_main, join, main_first
    from training.setup import weights_type

    loaded = load_recipe(recipe, data, overrides)
    join(weights_type(loaded.model))
    dataset = main_first(lambda: load_dataset(loaded.data))
    bundle = run_training(loaded, dataset, out or Path("runs") / loaded.name, restart)
    if is_main():
        if loaded.privacy:
            click.echo(read_manifest(bundle).privacy)
        click.echo(f"bundle: {bundle}")


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--method", required=True, help="dpo, softmax-dpo or grpo.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default: runs/NAME.")
@click.option("--restart", is_flag=True, help="Begin anew, although the folder holds a run.")
@OVERRIDES
def refine(
    bundle: Path, method: str, out: Path | None, restart: bool, overrides: Sequence[str]
) -> None:
    """Go on training a BUNDLE by preferences or rewards; it is kept only if it ranks better.

    The validation ranking is compared before and after. Where NDCG@10 does not rise, no bundle is
    written. The same command goes on where an interrupted run stopped.

    \b
    recgen refine runs/quickstart/bundle --method softmax-dpo
    recgen refine runs/quickstart/bundle --method grpo --set max_steps=100
    """
    from rec_gen.bundle import Bundle
    from rec_gen.config import parse_config
    from training.refine_config import RefineConfig

    config = parse_config(RefineConfig, {"method": method}, overrides, "refine")
    quiet()
    try:
        from training.refine import refine as run
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "trl", "train") from error
    start = Bundle.load(bundle)
    folder = out or Path("runs") / f"{start.manifest.name}-{config.method}"
    report = run(start, config, bundle_dataset(start), folder, restart=restart)
    click.echo(report)
    kept = f"bundle: {folder / 'bundle'}"
    click.echo(kept if report.better else f"no bundle is written: keep {bundle}")


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--drop-layers", type=int, help="Drop so many neighbouring layers.")
@click.option("--weights", help="bfloat16, int8 or nf4.")
@click.option("--heal-steps", type=int, help="Train on for so many steps after dropping.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default: runs/NAME.")
@click.option("--restart", is_flag=True, help="Begin anew, although the folder holds a run.")
@OVERRIDES
def compress(
    bundle: Path,
    drop_layers: int | None,
    weights: str | None,
    heal_steps: int | None,
    out: Path | None,
    restart: bool,
    overrides: Sequence[str],
) -> None:
    """Make a BUNDLE smaller, and say what that does to the validation ranking.

    An adapter is merged into its base model first. The layers that change least are dropped, the
    rest may be healed by some steps of training, and the weights are quantised last. The same
    command goes on where an interrupted run stopped.

    \b
    recgen compress runs/quickstart/bundle --weights int8
    recgen compress runs/quickstart/bundle --drop-layers 1 --heal-steps 100
    recgen compress runs/smollm2-lora/bundle --drop-layers 8 --heal-steps 100 --weights nf4
    """
    from rec_gen.bundle import Bundle
    from rec_gen.config import parse_config
    from training.compress_config import CompressConfig

    options = {"drop_layers": drop_layers, "weights": weights, "heal_steps": heal_steps}
    given = {key: value for key, value in options.items() if value is not None}
    config = parse_config(CompressConfig, given, overrides, "compress")
    quiet()
    try:
        from training.compress import SUFFIX
        from training.compress import compress as run
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "trl", "train") from error
    start = Bundle.load(bundle)
    folder = out or Path("runs") / f"{start.manifest.name}{SUFFIX}"
    click.echo(run(start, config, bundle_dataset(start), folder, restart=restart))
    click.echo(f"bundle: {folder / 'bundle'}")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/quickstart"))
def quickstart(out: Path) -> None:
    """Fine-tune a model on MovieLens-100K and show what it recommends."""
    from rec_gen.data.prepare import load_dataset, summarize
    from rec_gen.recommender import Recommender
    from training.processes import refuse_several

    refuse_several("quickstart")
    recipe = load_recipe("quickstart", None, ())
    dataset = load_dataset(recipe.data)
    click.echo("\n".join(summarize(dataset)))
    bundle = run_training(recipe, dataset, out, restart=False)
    recommender = Recommender.load(bundle)
    found = compare(recommender, dataset, "test", include_seen=False)
    show(found, out / "evaluation.json", out)
    _show_examples(recommender, dataset)
    click.echo(f"bundle: {bundle}\nresult: {out / 'evaluation.json'}")


def load_recipe(name: str, data: str | None, overrides: Sequence[str]) -> "Recipe":
    """Read a recipe by its name or file, with another data set where one is given.

    Raises:
        ConfigError: There is no such recipe, or it is wrong.
    """
    from training.recipe import Recipe, read_recipe

    other = None if data is None else data_config(data, ())
    return read_recipe(Recipe, name, other, overrides)


def run_training(recipe: "Recipe", dataset: "Dataset", out: Path, restart: bool) -> Path:
    """Train a recipe, or go on where that was interrupted, and say where the bundle is.

    Raises:
        MissingPackageError: A package that only training needs is not installed.
        ConfigError: The folder holds another run.
    """
    quiet()
    try:
        from training.sft import train
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "trl", "train") from error
    return train(recipe, dataset, out, restart=restart)


def _show_examples(recommender: "Recommender", dataset: "Dataset") -> None:
    """What three users chose last, what is recommended, and what they chose next."""
    from itertools import islice

    from rec_gen.data.dataset import Split

    examples = list(islice(dataset.examples(Split.TEST), 3))
    ids, titles = dataset.catalog.ids, dataset.catalog.titles
    histories = [[ids[place] for place in example.history] for example in examples]
    for example, answer in zip(examples, recommender.recommend(histories, k=5), strict=True):
        recent = "; ".join(titles[place] for place in example.history[-3:])
        click.echo(f"\nuser {example.user} last saw: {recent}")
        print_answer("then, by this model", answer)
        click.echo(f"  in truth: {titles[example.target]}")
    click.echo()

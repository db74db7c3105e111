"""The command `recgen`: one subcommand a job, each importing what it needs when it runs."""

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rec_gen.errors import ConfigError, MissingPackageError, RecGenError

if TYPE_CHECKING:
    from rec_gen.data.config import DataConfig
    from rec_gen.data.dataset import Dataset
    from rec_gen.decoding.search import Score
    from rec_gen.recommender import Recommendation, Recommender
    from training.recipe import Recipe

OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the file."
)


class _Group(click.Group):
    """Prints an error that a user can mend as one line and leaves with its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RecGenError as error:
            click.echo(f"recgen: {error}", err=True)
            sys.exit(error.exit_code)
        except OSError as error:
            click.echo(f"recgen: {error.filename}: {error.strerror}", err=True)
            sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rec_gen", prog_name="recgen")
def main() -> None:
    """Recommendations written by a language model, every one an item of your catalog.

    \b
    recgen quickstart                          see it work on MovieLens-100K
    recgen prepare movielens-100k              fetch, check and split a data set
    recgen train quickstart                    fine-tune a model
    recgen recommend runs/quickstart/bundle --history 50,172
    recgen evaluate runs/quickstart/bundle     compare it with counted baselines
    """


@main.command()
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write; default: the cache.")
@OVERRIDES
def prepare(source: str, out: Path | None, overrides: Sequence[str]) -> None:
    """Check, split and store a data set.

    SOURCE is a named data set or a TOML file that maps your own tables.

    \b
    recgen prepare movielens-100k
    recgen prepare shop.toml --out data/shop --set split.kind=global-time
    """
    from rec_gen.data.prepare import cached_folder, prepare, summarize

    config = _data_config(source, overrides)
    dataset = prepare(config, out or cached_folder(config))
    click.echo("\n".join(summarize(dataset)))


@main.command()
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

    loaded = _recipe(recipe, data, overrides)
    dataset = load_dataset(loaded.data)
    bundle = _train(loaded, dataset, out or Path("runs") / loaded.name, restart)
    click.echo(f"bundle: {bundle}")


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--history",
    "histories",
    multiple=True,
    help="Item ids, oldest first, or a JSON list.",
)
@click.option("--user", "users", multiple=True, help="A user of the bundle's data set.")
@click.option("-k", default=10, show_default=True, help="Items to recommend.")
@click.option("--include-seen", is_flag=True, help="Items of the history may be returned.")
@click.option("--block", multiple=True, metavar="ITEM", help="Never return this item.")
@click.option("--where", help="A rule over item columns: 'year > 1990 and \"Drama\" in genres'.")
@click.option("--score", type=click.Choice(["lm", "catalog"]), default="lm", show_default=True)
@click.option("--beam-width", default=20, show_default=True, help="Prefixes that go on at once.")
@click.option("--exact", is_flag=True, help="Search on until the answer is certain.")
@click.option("--template", help="Refuse the bundle unless it was trained on this template.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def recommend(
    bundle: Path,
    histories: Sequence[str],
    users: Sequence[str],
    k: int,
    include_seen: bool,
    block: Sequence[str],
    where: str | None,
    score: "Score",
    beam_width: int,
    exact: bool,
    template: str | None,
    as_json: bool,
) -> None:
    """Recommend items after histories.

    \b
    recgen recommend runs/quickstart/bundle --history 50,172,181 -k 5
    recgen recommend runs/quickstart/bundle --user 1 --user 2 --json
    """
    from rec_gen.recommender import Recommender

    _quiet()
    recommender = Recommender.load(bundle, template=template)
    requests = [(history, _ids(history)) for history in histories]
    if users:
        dataset = _bundle_dataset(recommender)
        ids = recommender.catalog.ids
        requests += [(user, [ids[place] for place in dataset.history(user)]) for user in users]
    if not requests:
        raise ConfigError("give at least one --history or --user")
    answers = recommender.recommend(
        [history for _, history in requests],
        k,
        exclude_seen=not include_seen,
        block=block,
        where=where,
        score=score,
        beam_width=beam_width,
        exact=exact,
    )
    for (request, _), answer in zip(requests, answers, strict=True):
        if as_json:
            rows = [{"id": r.item.id, "title": r.item.title, "score": r.score} for r in answer]
            click.echo(json.dumps({"request": request, "items": rows}, ensure_ascii=False))
        else:
            _print_answer(request, answer)


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["valid", "test"]), default="test", show_default=True)
@click.option("--include-seen", is_flag=True, help="Items of the history may be returned.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the result here.")
def evaluate(bundle: Path, split: str, include_seen: bool, json_path: Path | None) -> None:
    """Compare a bundle with counted baselines on held-out interactions, over the full catalog.

    \b
    recgen evaluate runs/quickstart/bundle --json result.json
    """
    from rec_gen.recommender import Recommender

    _quiet()
    if json_path and (json_path.is_dir() or not json_path.absolute().parent.is_dir()):
        raise ConfigError(f"--json {json_path}: is not a file in an existing folder")
    recommender = Recommender.load(bundle)
    dataset = _bundle_dataset(recommender)
    _evaluate(recommender, dataset, split, include_seen, json_path)


@main.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/quickstart"))
def quickstart(out: Path) -> None:
    """Fine-tune a model on MovieLens-100K and show what it recommends."""
    from rec_gen.data.prepare import load_dataset, summarize
    from rec_gen.recommender import Recommender

    recipe = _recipe("quickstart", None, ())
    dataset = load_dataset(recipe.data)
    click.echo("\n".join(summarize(dataset)))
    bundle = _train(recipe, dataset, out, restart=False)
    recommender = Recommender.load(bundle)
    _evaluate(recommender, dataset, "test", False, out / "evaluation.json")
    _show_examples(recommender, dataset)
    click.echo(f"bundle: {bundle}\nresult: {out / 'evaluation.json'}")


@main.group()
def prompts() -> None:
    """List, show, render and check prompt templates."""


@prompts.command("list")
def list_prompts() -> None:
    """The templates that come with the package."""
    from rec_gen.templates import Template, template_names

    for name in template_names():
        header = Template.load(name).header
        click.echo(f"{name}  task {header['task']}, version {header['version']}")


@prompts.command("show")
@click.argument("name")
def show_prompt(name: str) -> None:
    """Print a template."""
    from rec_gen.templates import Template

    click.echo(Template.load(name).text)


@prompts.command("render")
@click.argument("name")
@click.option("--data", default="movielens-100k", show_default=True, help="Name or TOML file.")
@click.option("--user", help="A user of the data; default: the first.")
@click.option("--base", default="smollm2-135m", show_default=True, help="Whose tokenizer counts.")
@click.option("--max-history", default=20, show_default=True)
@click.option("--max-tokens", default=1024, show_default=True)
def render_prompt(
    name: str, data: str, user: str | None, base: str, max_history: int, max_tokens: int
) -> None:
    """Print a template as a model reads it, with the titles of a user's history.

    \b
    recgen prompts render next_item --user 1
    recgen prompts render my.jinja --data shop.toml --max-tokens 200
    """
    from rec_gen.data.prepare import load_dataset
    from rec_gen.models import load_tokenizer
    from rec_gen.prompting import PromptConfig, PromptRenderer
    from rec_gen.spelling import spell_titles, tokenize_titles
    from rec_gen.templates import Template

    _quiet()
    template = Template.load(name)
    dataset = load_dataset(_data_config(data, ()))
    tokenizer = load_tokenizer(base)
    spellings = tokenize_titles(spell_titles(dataset.catalog), tokenizer)
    config = PromptConfig(template=name, max_history=max_history, max_tokens=max_tokens)
    renderer = PromptRenderer(template, dataset.catalog, spellings, tokenizer, config)
    history = dataset.history(user or dataset.users[0])
    prompt = renderer.render(history)
    click.echo(prompt.text)
    click.echo(f"-- {len(prompt.ids)} tokens, {prompt.kept} of {len(history)} items", err=True)


@prompts.command("lint")
@click.argument("names", nargs=-1)
def lint_prompts(names: Sequence[str]) -> None:
    """Check templates: header, syntax, names, and that data cannot break out; default: all.

    \b
    recgen prompts lint
    recgen prompts lint my.jinja
    """
    from rec_gen.lint import lint
    from rec_gen.templates import template_names

    for name in names or template_names():
        click.echo(f"{name}: {lint(name)}")


def _quiet() -> None:
    """Leave the libraries' notices out of what people read."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _ids(history: str) -> list[str]:
    """Item ids, separated by commas or as a JSON list of strings."""
    if not history.startswith("["):
        return [item.strip() for item in history.split(",") if item.strip()]
    try:
        items = json.loads(history)
    except ValueError as error:
        raise ConfigError(f"--history {history}: is not a JSON list: {error}") from error
    return [str(item) for item in items]


def _data_config(source: str, overrides: Sequence[str]) -> "DataConfig":
    from rec_gen.config import parse_config, read_toml
    from rec_gen.data.config import DataConfig

    if source.endswith(".toml"):
        table = read_toml(Path(source))
    else:
        table = {"prepared": source} if Path(source).is_dir() else {"source": source}
    return parse_config(DataConfig, table, overrides, source)


def _recipe(name: str, data: str | None, overrides: Sequence[str]) -> "Recipe":
    from rec_gen.config import parse_config, read_toml
    from training.recipe import Recipe, recipe_path

    path = recipe_path(name)
    table = read_toml(path)
    if data is not None:
        table["data"] = _data_config(data, ()).model_dump(exclude_unset=True)
    return parse_config(Recipe, table, overrides, str(path))


def _train(recipe: "Recipe", dataset: "Dataset", out: Path, restart: bool) -> Path:
    _quiet()
    try:
        from training.sft import train
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "trl", "train") from error
    return train(recipe, dataset, out, restart=restart)


def _bundle_dataset(recommender: "Recommender") -> "Dataset":
    """The data set that a bundle was trained on."""
    from rec_gen.config import parse_config
    from rec_gen.data.config import DataConfig
    from rec_gen.data.prepare import load_dataset
    from rec_gen.errors import DataError

    manifest = recommender.bundle.manifest
    dataset = load_dataset(parse_config(DataConfig, manifest.recipe["data"]))
    if dataset.fingerprint != manifest.fingerprint:
        raise DataError(f"{dataset.name}: is not the data that the bundle was trained on")
    return dataset


def _evaluate(
    recommender: "Recommender",
    dataset: "Dataset",
    split: str,
    include_seen: bool,
    json_path: Path | None,
) -> None:
    from rich.console import Console

    from eval.evaluate import evaluate
    from rec_gen.data.dataset import Split

    result = evaluate(
        recommender,
        dataset,
        Split(split),
        exclude_seen=not include_seen,
        seed=recommender.bundle.manifest.seed,
    )
    result.render(Console())
    if json_path:
        result.save(json_path)


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
        _print_answer("then, by this model", answer)
        click.echo(f"  in truth: {titles[example.target]}")
    click.echo()


def _print_answer(request: str, answer: "Sequence[Recommendation]") -> None:
    click.echo(f"{request}:")
    for rank, recommendation in enumerate(answer, start=1):
        item = recommendation.item
        click.echo(f"  {rank:2}. {item.title}  (item {item.id}, score {recommendation.score:.2f})")

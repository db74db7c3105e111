"""`recgen prompts`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from rec_gen.cli.common import data_config
from rec_gen.notices import quiet

if TYPE_CHECKING:
    from rec_gen.data.dataset import Dataset
    from rec_gen.prompting import PromptRenderer

_READING = (
    click.option("--data", default="movielens-100k", show_default=True, help="Name or TOML file."),
    click.option(
        "--base", default="smollm2-135m", show_default=True, help="Whose tokenizer counts."
    ),
    click.option("--max-history", type=click.IntRange(min=1), default=20, show_default=True),
    click.option("--max-tokens", type=click.IntRange(min=1), default=1024, show_default=True),
    click.option(
        "--shots",
        type=click.IntRange(min=0),
        default=3,
        show_default=True,
        help="Examples, where a template asks.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Draws users and examples.",
    ),
)


def _reading(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of commands that render."""
    for option in reversed(_READING):
        command = option(command)
    return command


@click.group()
def prompts() -> None:
    """List, show, render, check, compare and test prompt templates.

    \b
    recgen prompts list
    recgen prompts diff next_item video_next --users 2
    recgen prompts experiment experiment.toml
    """


@prompts.command("list")
def list_prompts() -> None:
    """The templates that come with the package.

    \b
    recgen prompts list
    """
    from rec_gen.templates import Template, template_names

    columns = ("task", "version", "domain", "inputs")
    rows: list[tuple[str, ...]] = [("name", *columns)]
    for name in template_names():
        header = Template.load(name).header
        rows.append((name, *(header.get(column, "-") for column in columns)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@prompts.command("show")
@click.argument("name")
def show_prompt(name: str) -> None:
    """Print a template.

    \b
    recgen prompts show next_item
    """
    from rec_gen.templates import Template

    click.echo(Template.load(name).text)


@prompts.command("render")
@click.argument("name")
@click.option("--user", help="A user of the data; default: the first.")
@click.option("--item", help="The item that is asked about; default: the user's last one.")
@click.option("--text", help="The title or request that is asked about; default: the item's title.")
@_reading
def render_prompt(
    name: str, user: str | None, item: str | None, text: str | None, seed: int, **options: Any
) -> None:
    """Print a template as a model reads it, with the titles of a user's history.

    Where the template asks about an item and none is given, it is the user's last one, and the
    history what came before it.

    \b
    recgen prompts render next_item --user 1
    recgen prompts render video_gaps --user 1
    recgen prompts render next_item_examples --shots 2
    recgen prompts render rating --user 1 --item 50
    recgen prompts render search --text "space adventure"
    recgen prompts render my.jinja --data shop.toml --max-tokens 200
    """
    from rec_gen.slots import Known, draw_shots

    dataset, renderer = _read(name, options)
    template = renderer.template
    shots = draw_shots(dataset, options["shots"] if "examples" in template.inputs else 0,
                       options["max_history"], seed)  # fmt: skip
    past = dataset.past(user or dataset.users[0])
    before = "history" in template.inputs and "item" in template.inputs and item is None
    count = len(past.items) - before
    asked = int(past.items[-1]) if item is None else dataset.catalog.position(item)
    prompt = renderer.render(
        past.items[:count],
        item=asked,
        text=text or dataset.catalog.titles[asked],
        known=Known.of(dataset, past.first(count), shots),
    )
    click.echo(prompt.text)
    shown = f", {prompt.kept} of {count} items" if "history" in template.inputs else ""
    click.echo(f"-- {len(prompt.ids)} tokens{shown}", err=True)


@prompts.command("diff")
@click.argument("one")
@click.argument("other")
@click.option("--users", type=click.IntRange(min=1), default=3, show_default=True)
@_reading
def diff_prompts(one: str, other: str, users: int, seed: int, **options: Any) -> None:
    """Print what a model reads with two templates, as a unified diff for each of a few users.

    The users are drawn from the test split, and what is shown is what is asked for their held-out
    items.

    \b
    recgen prompts diff next_item video_next
    recgen prompts diff next_item my.jinja --data shop.toml --users 1 --max-history 5
    """
    from rec_gen.prompt_diff import diff_examples
    from rec_gen.slots import draw_shots
    from rec_gen.templates import Template

    dataset, first = _read(one, options)
    second = first.using(Template.load(other))
    asks = "examples" in {*first.template.inputs, *second.template.inputs}
    shots = draw_shots(dataset, options["shots"] if asks else 0, options["max_history"], seed)
    for text in diff_examples(first, second, dataset, shots, users, seed):
        click.echo(text)


@prompts.command("lint")
@click.argument("names", nargs=-1)
@click.option("--record", is_flag=True, help="Write the digest of new versions into the lock.")
def lint_prompts(names: Sequence[str], record: bool) -> None:
    """Check templates: header, syntax, names, version, that data cannot break out; default: all.

    The lock versions.json beside the templates holds the digest of each version. A template that
    was edited and kept its version is an error; --record adds new versions and never changes one.

    \b
    recgen prompts lint
    recgen prompts lint my.jinja
    recgen prompts lint my.jinja --record
    """
    from rec_gen.lint import lint
    from rec_gen.templates import template_names

    for name in names or template_names():
        click.echo(f"{name}: {lint(name, record=record)}")


def _read(template: str, options: dict[str, Any]) -> "tuple[Dataset, PromptRenderer]":
    """The data and a renderer of its titles."""
    from rec_gen.data.prepare import load_dataset
    from rec_gen.models import load_tokenizer
    from rec_gen.prompting import PromptConfig, PromptRenderer
    from rec_gen.spelling import spell_titles, tokenize_titles
    from rec_gen.templates import Template

    quiet()
    loaded = Template.load(template)
    dataset = load_dataset(data_config(options["data"], ()))
    tokenizer = load_tokenizer(options["base"])
    spellings = tokenize_titles(spell_titles(dataset.catalog), tokenizer)
    config = PromptConfig(
        template=template, max_history=options["max_history"], max_tokens=options["max_tokens"]
    )
    return dataset, PromptRenderer(loaded, dataset.catalog, spellings, tokenizer, config)

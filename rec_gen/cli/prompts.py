"""`recgen prompts`."""

from collections.abc import Sequence

import click

from rec_gen.cli.common import data_config, quiet


@click.group()
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
@click.option("--item", help="The item that is asked about; default: the user's last one.")
@click.option("--text", help="The title or request that is asked about; default: the item's title.")
@click.option("--base", default="smollm2-135m", show_default=True, help="Whose tokenizer counts.")
@click.option("--max-history", default=20, show_default=True)
@click.option("--max-tokens", default=1024, show_default=True)
def render_prompt(
    name: str,
    data: str,
    user: str | None,
    item: str | None,
    text: str | None,
    base: str,
    max_history: int,
    max_tokens: int,
) -> None:
    """Print a template as a model reads it, with the titles of a user's history.

    Where the template asks about an item and none is given, it is the user's last one, and the
    history what came before it.

    \b
    recgen prompts render next_item --user 1
    recgen prompts render rating --user 1 --item 50
    recgen prompts render search --text "space adventure"
    recgen prompts render my.jinja --data shop.toml --max-tokens 200
    """
    from rec_gen.data.prepare import load_dataset
    from rec_gen.models import load_tokenizer
    from rec_gen.prompting import PromptConfig, PromptRenderer
    from rec_gen.spelling import spell_titles, tokenize_titles
    from rec_gen.templates import Template

    quiet()
    template = Template.load(name)
    dataset = load_dataset(data_config(data, ()))
    tokenizer = load_tokenizer(base)
    spellings = tokenize_titles(spell_titles(dataset.catalog), tokenizer)
    config = PromptConfig(template=name, max_history=max_history, max_tokens=max_tokens)
    renderer = PromptRenderer(template, dataset.catalog, spellings, tokenizer, config)
    history = dataset.history(user or dataset.users[0])
    if "history" in template.inputs and "item" in template.inputs and item is None:
        history, asked = history[:-1], int(history[-1])
    else:
        asked = int(history[-1]) if item is None else dataset.catalog.position(item)
    prompt = renderer.render(history, item=asked, text=text or dataset.catalog.titles[asked])
    click.echo(prompt.text)
    shown = f", {prompt.kept} of {len(history)} items" if "history" in template.inputs else ""
    click.echo(f"-- {len(prompt.ids)} tokens{shown}", err=True)


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

"""What several commands share."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rec_gen.errors import ConfigError, RecGenError
from rec_gen.text import clean_text

if TYPE_CHECKING:
    from rich.console import Console

    from rec_gen.answers import Recommendation
    from rec_gen.bundle import Bundle
    from rec_gen.data.config import DataConfig
    from rec_gen.data.dataset import Dataset

OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the file."
)
ALLOW_LEAK = click.option(
    "--allow-leak",
    "allowed_leaks",
    multiple=True,
    metavar="CHECK",
    help="Record that a check for leaks failed, and go on.",
)
DOMAIN = click.option(
    "--domain", metavar="NAME", help="Which of the bundle's catalogs, where it has several."
)


WIDE = 160
"""Columns of a table in a file or a pipe, where rich would cut at 80."""


class Command(click.Command):
    """Prints an error that a user can mend as one line and leaves with its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except RecGenError as error:
            click.echo(f"recgen: {error}", err=True)
            sys.exit(error.exit_code)
        except BrokenPipeError:
            raise  # click leaves silently when the reader of the output has gone
        except OSError as error:
            place = "" if error.filename is None else f"{error.filename}: "
            click.echo(f"recgen: {place}{error.strerror or error}", err=True)
            sys.exit(1)


def table_console() -> "Console":
    """Where tables go: as wide as the terminal, else as `COLUMNS` says, else `WIDE`."""
    from rich.console import Console

    console = Console()
    if not (console.is_terminal or "COLUMNS" in os.environ):
        console.width = WIDE
    return console


def data_config(source: str, overrides: Sequence[str]) -> "DataConfig":
    """The configuration of a named data set, a TOML file or a prepared folder."""
    from rec_gen.config import parse_config, read_toml
    from rec_gen.data.config import DataConfig

    if source.endswith(".toml"):
        table = read_toml(Path(source))
    else:
        table = {"prepared": source} if Path(source).is_dir() else {"source": source}
    return parse_config(DataConfig, table, overrides, source)


def bundle_dataset(bundle: "Bundle") -> "Dataset":
    """The data set that a bundle was trained on.

    Raises:
        BundleError: The bundle does not say which it is.
        DataError: It cannot be had, or was changed since.
    """
    from rec_gen.errors import DataError

    dataset = recipe_dataset(bundle)
    if dataset.fingerprint != bundle.manifest.fingerprint:
        raise DataError(f"{dataset.name}: is not the data that the bundle was trained on")
    return dataset


def recipe_dataset(bundle: "Bundle") -> "Dataset":
    """The data set that a bundle's recipe names, as it is now.

    Raises:
        BundleError: The bundle does not say which it is.
        DataError: It cannot be had.
    """
    from rec_gen.config import parse_config
    from rec_gen.data.config import DataConfig
    from rec_gen.data.prepare import load_dataset
    from rec_gen.errors import BundleError

    manifest = bundle.manifest
    if "data" not in manifest.recipe:
        raise BundleError(
            f"the bundle '{manifest.name}' does not say which data it was trained on: give "
            "histories, or train it with a recipe"
        )
    return load_dataset(parse_config(DataConfig, manifest.recipe["data"]))


def item_ids(history: str) -> list[str]:
    """Item ids of an option, separated by commas or as a JSON list of strings.

    Raises:
        ConfigError: The list cannot be read.
    """
    if not history.startswith("["):
        return [item.strip() for item in history.split(",") if item.strip()]
    try:
        items = json.loads(history)
    except ValueError as error:
        raise ConfigError(f"--history {history}: is not a JSON list: {error}") from error
    return [str(item) for item in items]


def print_answer(request: str, answer: "Sequence[Recommendation]") -> None:
    """Print an answer for people to read."""
    click.echo(f"{request}:")
    for rank, recommendation in enumerate(answer, start=1):
        item = recommendation.item
        click.echo(
            f"  {rank:2}. {clean_text(item.title)}  (item {clean_text(item.id)}, "
            f"score {recommendation.score:.2f})"
        )

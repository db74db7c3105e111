"""`recgen screen`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rec_gen.cli.common import OVERRIDES, data_config
from rec_gen.errors import ConfigError
from rec_gen.text import clean_text

if TYPE_CHECKING:
    from rec_gen.screening import Screening

SHOWN = 10
"""Findings of a kind that are printed; all of them are in the file."""


@click.command()
@click.argument("data")
@click.option("--out", type=click.Path(path_type=Path), help="Write a screened data set here.")
@click.option(
    "--share",
    default=0.2,
    show_default=True,
    help="Among which share of the users, those least like the others, attackers are looked for.",
)
@click.option(
    "--only", type=click.Choice(["profiles", "titles"]), help="Screen these alone; default: both."
)
@OVERRIDES
def screen(
    data: str, out: Path | None, share: float, only: str | None, overrides: Sequence[str]
) -> None:
    """Look for fake profiles and for titles that deceive.

    DATA is a prepared folder, a named data set or a TOML file that maps your own tables. With
    --out, a data set is written in which nothing is learnt from suspects and such titles are
    mended; `screening.json` in it names them all.

    \b
    recgen screen movielens-100k
    recgen screen data/shop --out data/screened
    recgen train quickstart --data data/screened
    """
    from rec_gen.data.dataset import refuse_other_folder
    from rec_gen.data.prepare import load_dataset
    from rec_gen.screening import screen as screened

    config = data_config(data, overrides)
    if out is not None:
        if config.prepared and out.resolve() == config.prepared.resolve():
            raise ConfigError(f"--out {out}: is the data that is screened; choose another folder")
        refuse_other_folder(out)
    dataset = load_dataset(config)
    found = screened(dataset, share, profiles=only != "titles", titles=only != "profiles")
    click.echo("\n".join(_lines(found)))
    if out is not None:
        found.save(out)
        click.echo(f"data set: {out}")


def _lines(found: "Screening") -> list[str]:
    users = [
        f"user {clean_text(user)}: pushes {', '.join(map(clean_text, items))}"
        for user, items in found.suspects.items()
    ]
    titles = [
        f"item {clean_text(each.item)}: {', '.join(each.findings)}: "
        f"{json.dumps(each.title)} becomes {json.dumps(each.mended, ensure_ascii=False)}"
        for each in found.titles
    ]
    return [*_first(users, "suspicious profiles"), *_first(titles, "suspicious titles")]


def _first(lines: list[str], what: str) -> list[str]:
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [f"{what}: {len(lines)}", *lines[:SHOWN], *more]

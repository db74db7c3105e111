"""`recgen prepare`."""

from collections.abc import Sequence
from pathlib import Path

import click

from rec_gen.cli.common import OVERRIDES, data_config


@click.command()
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

    config = data_config(source, overrides)
    dataset = prepare(config, out or cached_folder(config))
    click.echo("\n".join(summarize(dataset)))

"""`recgen batch`."""

from collections.abc import Sequence
from pathlib import Path

import click

from rec_gen.cli.common import OVERRIDES


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("users", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="A TOML file; the flags go before what it says.",
)
@click.option("--domain", help="Which catalog, where the bundle has several; default: its first.")
@click.option("-k", type=int, help="Items to recommend; default: 10, or all candidates.")
@click.option("--include-seen", is_flag=True, help="Items of the history may be returned.")
@click.option("--where", help="A rule over item columns: 'year > 1990 and \"Drama\" in genres'.")
@click.option("--score", help="lm or catalog; without it, what the bundle was trained by.")
@click.option("--beam-width", type=int, help="Prefixes that go on at once; default: 20.")
@click.option("--exact", is_flag=True, default=None, help="Search on until answers are certain.")
@click.option("--candidates", metavar="COLUMN", help="Rank the items of this column instead.")
@click.option("--explain", is_flag=True, default=None, help="Write why each item fits.")
@click.option("--batch-size", type=int, help="Users that are read at once; default: 32.")
@click.option("--device", help="Where the model runs, such as cpu or cuda.")
@click.option("--runtime", help="transformers or vllm.")
@click.option("--workers", type=int, help="Processes, each with a model; default: 1.")
@click.option("--ray", metavar="ADDRESS", help="Work on a Ray cluster, auto or HOST:PORT.")
@OVERRIDES
def batch(
    bundle: Path,
    users: Path,
    output: Path,
    file: Path | None,
    include_seen: bool,
    candidates: str | None,
    ray: str | None,
    overrides: Sequence[str],
    **flags: object,
) -> None:
    """Recommend to all USERS of a Parquet file, and write Parquet files to OUTPUT.

    USERS has one row a user: the column `user`, and the column `history` with a list of item ids,
    oldest first. It may be a folder of such files. A job that was stopped or killed goes on with
    the same command, and no user is lost or answered twice.

    \b
    recgen batch runs/quickstart/bundle users.parquet out
    recgen batch runs/quickstart/bundle users.parquet out -k 50 --where 'year > 1990'
    recgen batch runs/quickstart/bundle users.parquet out --workers 2
    recgen batch runs/shop/bundle users.parquet out --candidates candidates --explain
    recgen batch runs/shop/bundle users.parquet out --ray auto --workers 8 \\
        --set ray.gpus=1 --runtime vllm
    """
    from rec_gen.config import parse_config, read_toml
    from rec_gen.errors import MissingPackageError
    from rec_gen.notices import quiet
    from serving.batch.config import BatchConfig

    table = {} if file is None else read_toml(file)
    table |= {name: value for name, value in flags.items() if value is not None}
    table |= {"bundle": bundle, "users": users, "output": output}
    if include_seen:
        table["exclude_seen"] = False
    for name, key, value in (("columns", "candidates", candidates), ("ray", "address", ray)):
        own = table.get(name, {})
        if value is not None and isinstance(own, dict):  # anything else is refused below
            table[name] = {**own, key: value}
    config = parse_config(BatchConfig, table, overrides, "batch" if file is None else str(file))
    quiet()
    from serving.batch.run import run

    try:
        done = run(config)
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "ray", "ray") from error
    click.echo(f"{done}\nanswers: {config.output}")

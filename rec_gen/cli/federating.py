"""`recgen federate`."""

from collections.abc import Sequence
from pathlib import Path

import click

from rec_gen.cli.common import OVERRIDES
from rec_gen.errors import MissingPackageError
from rec_gen.notices import quiet


@click.command()
@click.argument("recipe")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default: runs/NAME.")
@click.option("--data", help="Instead of the recipe's: a name, a TOML file or a prepared folder.")
@click.option("--restart", is_flag=True, help="Begin anew, although the folder holds a run.")
@OVERRIDES
def federate(
    recipe: str, out: Path | None, data: str | None, restart: bool, overrides: Sequence[str]
) -> None:
    """Train an adapter by clients that keep their users, simulated in this process.

    RECIPE is one of `recgen train` with model.adapter = "lora"; a table [federated] says how the
    rounds go. The same command goes on after the last round. docs/federated.md says how clients on
    other machines do the same.

    \b
    recgen federate federated --set model.base=runs/federated-base/base
    recgen federate my.toml --set clients=10 --set local_steps=5 --set trim=0.2
    """
    from rec_gen.data.prepare import load_dataset
    from training.federated.config import load_federated_recipe

    loaded = load_federated_recipe(recipe, data, overrides)
    quiet()
    try:
        from training.federated.federate import simulate
    except ModuleNotFoundError as error:
        extra = "federated" if (error.name or "").startswith("flwr") else "train"
        raise MissingPackageError(error.name or "flwr", extra) from error
    bundle = simulate(
        loaded, load_dataset(loaded.data), out or Path("runs") / loaded.name, restart=restart
    )
    click.echo(f"bundle: {bundle}")

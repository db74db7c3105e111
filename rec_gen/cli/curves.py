"""`recgen curves`."""

from collections.abc import Sequence
from pathlib import Path

import click

from rec_gen.cli.common import table_console


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--plot", type=click.Path(path_type=Path), help="Draw them here: FILE.svg, FILE.png.")
def curves(runs: Sequence[Path], plot: Path | None) -> None:
    """Print the loss and the validation ranking of RUNS, finished or still training.

    \b
    recgen curves runs/quickstart
    recgen curves runs/quickstart runs/industrial-titles --plot curves.svg
    """
    from training.curves import curves_table, draw_curves, read_curves

    read = {str(run): read_curves(run) for run in runs}
    console = table_console()
    for name, each in read.items():
        console.print(curves_table(name, each))
    if plot:
        draw_curves(read, plot)
        click.echo(f"plot: {plot}")

"""How long preparing a large table takes, and how much memory.

python -m eval.benchmarks.prepare --rows 10000000 --json prepare.json
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
import polars as pl

from rec_gen.files import write_text
from rec_gen.versions import machine

_CHUNK = 1_000_000
_ROWS_PER_USER, _ITEMS = 20, 100_000
_CHILD = """
import resource, sys, time
from pathlib import Path
from rec_gen.data.config import DataConfig, InteractionTable, ItemTable
from rec_gen.data.prepare import prepare
folder = Path(sys.argv[1])
config = DataConfig(
    interactions=InteractionTable(path=folder / "interactions.csv", rating="rating"),
    items=ItemTable(path=folder / "items.csv"),
)
start = time.perf_counter()
prepare(config, folder / "prepared")
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_tables(folder: Path, rows: int) -> None:
    """Write random interactions, a million rows at a time, and their items.

    Popularity falls as one over the rank, and times are whole minutes, so that many tie.
    """
    generator = np.random.default_rng(0)
    titles = {"item": range(_ITEMS), "title": [f"Title of item {item}" for item in range(_ITEMS)]}
    pl.DataFrame(titles).write_csv(folder / "items.csv")
    with (folder / "interactions.csv").open("wb") as file:
        for start in range(0, rows, _CHUNK):
            size = min(_CHUNK, rows - start)
            chunk = {
                "user": generator.integers(max(rows // _ROWS_PER_USER, 1), size=size),
                "item": (_ITEMS ** generator.random(size)).astype(np.int64),
                "time": 1_500_000_000 + 60 * generator.integers(1_000_000, size=size),
                "rating": generator.integers(1, 6, size=size),
            }
            pl.DataFrame(chunk).write_csv(file, include_header=start == 0)


@click.command()
@click.option("--rows", default=10_000_000, show_default=True, help="Interactions.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the result here.")
def main(rows: int, json_path: Path | None) -> None:
    """Measure `prepare` on a random table, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        write_tables(Path(name), rows)
        command = [sys.executable, "-c", _CHILD, name]
        child = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, peak = (float(figure) for figure in child.stdout.split())
    peak_bytes = peak * (1 if sys.platform == "darwin" else 1024)
    figures = {
        "seconds": round(seconds, 1),
        "peak_gb": round(peak_bytes / 1e9, 2),
        "rows": rows,
    }
    text = json.dumps({"figures": figures} | machine(), indent=2)
    click.echo(text)
    if json_path:
        write_text(json_path, text + "\n")


if __name__ == "__main__":
    main()

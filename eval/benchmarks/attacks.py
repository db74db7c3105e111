"""What attacks gain and defences save: `python -m eval.benchmarks.attacks`.

Fake profiles, dressed titles and hidden instructions push items of the unpopular tail. How many
real users are shown them, before and after, and what does everyone lose?
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from eval.benchmarks import attacks_instructions, attacks_profiles, attacks_titles
from eval.benchmarks.attacks_report import tables
from rec_gen.cli.common import Command, data_config
from rec_gen.data.prepare import load_dataset
from rec_gen.errors import RecGenError
from rec_gen.files import write_text
from rec_gen.versions import machine

PARTS = ("profiles", "titles", "instructions")


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--data", default="movielens-100k", show_default=True, help="A prepared data set.")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), default=PARTS)
@click.option("--steps", default=80, show_default=True, help="Of each training.")
@click.option("--seed", default=0, show_default=True)
@click.option("--users", default=24, show_default=True, help="Whom the untuned model is asked for.")
@click.option("--perturbation", default=0.03, show_default=True, help="Of the perturbed model.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the runs here, to go on later.")
def main(
    json_path: Path | None,
    data: str,
    parts: Sequence[str],
    steps: int,
    seed: int,
    users: int,
    perturbation: float,
    out: Path | None,
) -> None:
    """Attack small models and defend them; with --out, a part that was measured is not again."""
    dataset = load_dataset(data_config(data, ()))
    about = {"data": dataset.fingerprint, "steps": steps, "seed": seed}
    with TemporaryDirectory() as temporary:
        folder = out or Path(temporary)
        work: dict[str, Callable[[], dict[str, Any]]] = {
            "profiles": lambda: attacks_profiles.run(dataset, folder, steps, seed, perturbation),
            "titles": lambda: attacks_titles.run(dataset, folder, steps, seed, perturbation),
            "instructions": lambda: attacks_instructions.run(dataset, users, seed),
        }
        figures = {
            part: kept(folder / f"{part}.json", about, work[part]) for part in work if part in parts
        }
    click.echo("\n".join(tables(figures)))
    if json_path:
        record = {"figures": figures, **about, "perturbation": perturbation, **machine()}
        write_text(json_path, json.dumps(record, indent=2) + "\n")


def kept(
    path: Path, about: Mapping[str, Any], measure: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The figures of a part, measured unless the file has them of the same run.

    Raises:
        RecGenError: The file has those of another run.
    """
    if path.is_file():
        record = json.loads(path.read_text(encoding="utf-8"))
        if any(record.get(key) != value for key, value in about.items()):
            raise RecGenError(f"{path}: is of other data, steps or seed: choose another --out")
        return dict(record["figures"])
    figures = measure()
    write_text(path, json.dumps({"figures": figures, **about}, indent=2) + "\n")
    return figures


if __name__ == "__main__":
    main()

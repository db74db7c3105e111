"""What attacks gain and defences save: `python -m eval.benchmarks.attacks`.

Fake profiles, dressed titles and hidden instructions push items of the unpopular tail. How many
real users are shown them, before and after, and what does everyone lose?
"""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from eval.benchmarks import attacks_instructions, attacks_profiles, attacks_titles
from rec_gen.cli.common import Command, data_config
from rec_gen.data.prepare import load_dataset
from rec_gen.files import write_text
from rec_gen.versions import machine

PARTS = ("profiles", "titles", "instructions")


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--data", default="movielens-100k", show_default=True, help="A prepared data set.")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), default=PARTS)
@click.option("--steps", default=80, show_default=True, help="Of each training.")
@click.option("--seed", default=0, show_default=True)
@click.option("--users", default=60, show_default=True, help="Whom the untuned model is asked for.")
@click.option("--perturbation", default=0.1, show_default=True, help="Of the perturbed models.")
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
    """Attack small models and defend them."""
    dataset = load_dataset(data_config(data, ()))
    figures: dict[str, Any] = {}
    with TemporaryDirectory() as temporary:
        folder = out or Path(temporary)
        if "profiles" in parts:
            figures["profiles"] = attacks_profiles.run(dataset, folder, steps, seed, perturbation)
        if "titles" in parts:
            figures["titles"] = attacks_titles.run(dataset, folder, steps, seed, perturbation)
        if "instructions" in parts:
            figures["instructions"] = attacks_instructions.run(dataset, users, seed)
    click.echo(json.dumps(figures, indent=2))
    if json_path:
        record = {"figures": figures, "data": dataset.fingerprint, "steps": steps, "seed": seed}
        write_text(json_path, json.dumps(record | machine(), indent=2) + "\n")


if __name__ == "__main__":
    main()

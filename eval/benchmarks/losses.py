"""The loss on every item against the last item only: `python -m eval.benchmarks.losses`.

The quickstart's model is trained twice by `recgen train`, once with each loss, the second for many
more steps. Which has the better validation NDCG@10 after how many tokens?
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from rec_gen.cli.common import Command
from rec_gen.errors import RecGenError
from rec_gen.files import write_text
from rec_gen.versions import machine

STEPS, VALIDATIONS = 600, 10
DROPOUT = 0.1
"""The loss on every item repeats each item more often in as many tokens, and overfits without."""
LOSSES = ("every-item", "last-item")
Curve = list[tuple[int, float]]
"""Tokens read and validation NDCG@10, at each validation."""


def train(folder: Path, recipe: str, loss: str, steps: int) -> Curve:
    """Train in a process of its own, going on where an earlier one stopped.

    Raises:
        RecGenError: The training failed.
    """
    settings = {
        "train.loss": f"'{loss}'",
        "train.dropout": DROPOUT,
        "train.max_steps": steps,
        "validation.every_steps": max(1, steps // VALIDATIONS),
        "validation.patience": VALIDATIONS,
    }
    command = [sys.executable, "-m", "rec_gen", "train", recipe, "--out", str(folder / loss)]
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    if subprocess.run([*command, *options, "--max-minutes", "600"], check=False).returncode:
        raise RecGenError(f"{loss}: the training failed; its message stands above")
    newest = max((folder / loss).glob("checkpoints/*/trainer_state.json"), key=_step)
    return curve(json.loads(newest.read_text(encoding="utf-8")))


def curve(state: dict[str, Any]) -> Curve:
    """What a trainer's state says of its validations."""
    logs = [log for log in state["log_history"] if "eval_ndcg@10" in log]
    return [(int(log["num_input_tokens_seen"]), float(log["eval_ndcg@10"])) for log in logs]


def tokens_until(points: Curve, aim: float) -> int | None:
    """Tokens read when a curve first reached an aim; None if it never did."""
    return next((tokens for tokens, value in points if value >= aim), None)


def _step(file: Path) -> int:
    return int(file.parent.name.rpartition("-")[2])


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--recipe", default="quickstart", show_default=True)
@click.option(
    "--steps", default=STEPS, show_default=True, help="Steps with the loss on every item."
)
@click.option("--times", default=6, show_default=True, help="As many more steps with the other.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the runs here, to go on later.")
def main(json_path: Path | None, recipe: str, steps: int, times: int, out: Path | None) -> None:
    """Compare two losses by the tokens that they need."""
    with TemporaryDirectory() as temporary:
        folder = out or Path(temporary)
        curves = {
            loss: train(folder, recipe, loss, count)
            for loss, count in zip(LOSSES, (steps, steps * times), strict=True)
        }
    every, last = (curves[loss] for loss in LOSSES)
    aim = max(value for _, value in last)
    reached = tokens_until(every, aim)
    spent = tokens_until(last, aim) or last[-1][0]
    figures = {
        "every_item_ndcg10": max(value for _, value in every),
        "last_item_ndcg10": aim,
        "every_item_tokens_to_match": reached,
        "last_item_tokens": spent,
        "fewer_tokens": round(spent / reached, 2) if reached else None,
    }
    table = Table("loss", "tokens read", "validation NDCG@10")
    for loss, points in curves.items():
        for tokens, value in points:
            table.add_row(loss, f"{tokens:,}", f"{value:.4f}")
    Console().print(table)
    click.echo(json.dumps(figures, indent=2))
    if json_path:
        record = {"figures": figures, "curves": curves} | machine()
        write_text(json_path, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""A training run that is killed again and again: `python -m eval.benchmarks.kills --json FILE`.

`recgen train` is killed with SIGKILL after random times, started again each time, and compared with
an undisturbed run: the same losses at every step and the same weights, bit by bit.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from safetensors.numpy import load_file

from rec_gen.cli.common import Command
from rec_gen.errors import RecGenError
from rec_gen.files import write_text
from rec_gen.versions import machine

STEPS, EVERY = 200, 10
SETTINGS = {
    "train.max_steps": STEPS,
    "train.max_minutes": 600,
    "validation.every_steps": EVERY,
    "validation.patience": STEPS,
    "validation.users": 20,
}


def start(folder: Path, recipe: str) -> "subprocess.Popen[str]":
    """Start, or go on with, the run in a folder."""
    options = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "rec_gen", "train", recipe, "--out", str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(folder: Path, recipe: str) -> None:
    """Let the run in a folder end.

    Raises:
        RecGenError: It fails.
    """
    running = start(folder, recipe)
    _, errors = running.communicate()
    if running.returncode:
        raise RecGenError(f"{folder}: the training failed: {errors.strip().splitlines()[-1]}")


def kill(folder: Path, recipe: str, step: int, delay: float) -> int | None:
    """Start the run in a folder, and kill it some time after it reaches a step.

    Returns:
        The step of the last whole checkpoint; None if the run ended before it was killed.
    """
    running = start(folder, recipe)
    timer: threading.Timer | None = None
    for line in running.stderr or ():
        if timer is None and line.startswith("step ") and int(line.split()[1].rstrip(":")) >= step:
            timer = threading.Timer(delay, running.kill)
            timer.start()
    running.wait()
    if timer is not None:
        timer.cancel()
    return None if (folder / "bundle").exists() else last_step(folder)


def last_step(folder: Path) -> int:
    """The step of the newest checkpoint, 0 before the first."""
    steps = (file.parent.name for file in folder.glob("checkpoints/*/trainer_state.json"))
    return max((int(name.rpartition("-")[2]) for name in steps), default=0)


def losses(folder: Path) -> list[float]:
    """The training losses of a finished run."""
    file = folder / "checkpoints" / f"checkpoint-{last_step(folder)}" / "trainer_state.json"
    history = json.loads(file.read_text(encoding="utf-8"))["log_history"]
    return [log["loss"] for log in history if "loss" in log]


def same_weights(folder: Path, other: Path) -> bool:
    """Whether two runs ended in the same weights, bit by bit."""
    mine, theirs = (
        load_file(run / "bundle" / "model" / "model.safetensors") for run in (folder, other)
    )
    return mine.keys() == theirs.keys() and all((mine[n] == theirs[n]).all() for n in mine)


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--recipe", default="quickstart", show_default=True)
@click.option("--kills", default=10, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the steps and times of the kills.")
def main(json_path: Path | None, recipe: str, kills: int, seed: int) -> None:
    """Kill a training run at random and see whether it ends like an undisturbed one."""
    delays = np.random.default_rng(seed).uniform(0, 1, kills)
    with TemporaryDirectory() as temporary:
        whole, killed = Path(temporary, "whole"), Path(temporary, "killed")
        finish(whole, recipe)
        reached: list[int | None] = []
        for number in track(range(kills), "kills", console=Console(stderr=True)):
            step = STEPS * number // kills // 10 * 10
            reached.append(kill(killed, recipe, step, float(delays[number])))
        finish(killed, recipe)
        figures = {
            "kills": sum(step is not None for step in reached),
            "same_losses": losses(killed) == losses(whole),
            "same_weights": same_weights(killed, whole),
        }
    click.echo(json.dumps({**figures, "last checkpoints": reached}, indent=2))
    if json_path:
        record = {"figures": figures, "checkpoints_at_kills": reached, "seed": seed} | machine()
        write_text(json_path, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Runs that tests start by `accelerate launch`, or in their own process, on uneven toy data."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl
from transformers import TrainerCallback

import training.sft as sft
from rec_gen.data.dataset import Dataset
from tests.toy import toy_dataset, toy_recipe


class Death(TrainerCallback):  # type: ignore[misc]
    """Does something fatal in the main process at a step."""

    def __init__(self, step: int, die: Callable[[], None]) -> None:
        self._step, self._die = step, die

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self._step and state.is_world_process_zero:
            self._die()


def uneven_dataset() -> Dataset:
    """Histories that differ in length, so that processes have different numbers of labels."""
    whole = toy_dataset()
    number = pl.col("user").str.slice(1).cast(pl.Int64)
    frame = whole.frame.filter(pl.col("time") >= number * 7 % 6)
    return Dataset(whole.catalog, frame, whole.manifest)


def run(folder: Path, changes: dict[str, Any], death: Death | None = None) -> None:
    """Train, logging the loss of every step."""
    make = sft.sft_trainer

    def watched(*args: Any) -> Any:
        trainer = make(*args)
        trainer.args.logging_steps = 1
        if death:
            trainer.add_callback(death)
        return trainer

    with patch.object(sft, "sft_trainer", watched):
        sft.train(toy_recipe(**changes), uneven_dataset(), folder)


if __name__ == "__main__":
    for each in json.loads(sys.argv[1]):
        step = each.get("death")
        kill = Death(step, lambda: os.kill(os.getpid(), signal.SIGKILL)) if step else None
        run(Path(each["folder"]), each["changes"], kill)

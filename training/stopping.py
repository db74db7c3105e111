"""When training ends: at the last step or when the minutes are used up, after a validation.

A run that was killed after its last checkpoint is at its end when it goes on.
"""

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import CallbackHandler, ExportableState

from training.processes import from_main


class EndsOnce:
    """A mixin for trainers of transformers, which train a step more than a finished run has."""

    control: TrainerControl
    callback_handler: CallbackHandler

    def _run_epoch(self, *args: Any, **options: Any) -> None:
        if not self.control.should_training_stop:
            super()._run_epoch(*args, **options)  # type: ignore[misc]

    def _load_callback_state(self) -> None:
        """Restore the clock without its limit, which the run that goes on may have changed."""
        (before,) = self._clocks()
        super()._load_callback_state()  # type: ignore[misc]
        (clock,) = self._clocks()
        clock.minutes = before.minutes

    def _clocks(self) -> "list[LastStepCallback]":
        callbacks = self.callback_handler.callbacks
        return [each for each in callbacks if isinstance(each, LastStepCallback)]


class LastStepCallback(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Validates and saves at the last step, which a limit in minutes may bring forward.

    Minutes count over resumed runs; None sets no limit. It must stand behind other callbacks that
    end a run.
    """

    def __init__(self, minutes: float | None) -> None:
        self.minutes = minutes
        self.seconds_before = 0.0
        self.ended = False
        self._started = time.monotonic()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the limit, the time used so far, and whether it is the last."""
        attributes = {"seconds_before": self.seconds(), "ended": self.ended}
        return {"args": {"minutes": self.minutes}, "attributes": attributes}

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Start the clock, unless the run that goes on had come to its end."""
        self._started = time.monotonic()
        control.should_training_stop = self.ended

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Find out whether this was the last step."""
        if self._late() or state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = True
            control.should_training_stop = True

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Note for the checkpoint that follows whether anything ended the run."""
        self.ended = control.should_training_stop

    def seconds(self) -> float:
        """The time since training began, counted over resumed runs."""
        return self.seconds_before + time.monotonic() - self._started

    def _late(self) -> bool:
        """Whether the minutes are used up, by the clock of the main process."""
        minutes = self.minutes
        return minutes is not None and from_main(lambda: self.seconds() >= 60 * minutes)

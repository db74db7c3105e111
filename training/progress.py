"""What a person sees of a training run: one bar, and one line for each validation."""

from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.ranking import NDCG, RECALL
from training.rating import AUC, COUNTED, PAIRS


class ProgressCallback(TrainerCallback):  # type: ignore[misc]
    """Shows the step, the training loss, the time left, and what each validation found."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("training", loss="…")

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Start the bar where the run goes on."""
        self._progress.update(self._task, total=state.max_steps, completed=state.global_step)
        self._progress.start()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Show the loss, or a line for a validation."""
        if "loss" in logs:
            self._progress.update(self._task, loss=f"{logs['loss']:.3f}")
            if not self._progress.console.is_terminal:
                self._say(f"step {state.global_step} of {state.max_steps}: loss {logs['loss']:.3f}")
        if f"eval_{NDCG}" in logs:
            loss = f"loss {logs['eval_loss']:.3f}, " if "eval_loss" in logs else ""
            auc = ""
            if f"eval_{AUC}" in logs:
                pairs, counted = logs[f"eval_{PAIRS}"], logs[f"eval_{COUNTED}"]
                auc = f", AUC {logs[f'eval_{AUC}']:.4f} ({pairs:,.0f} pairs; counted {counted:.4f})"
            self._say(
                f"step {state.global_step}: validation {loss}"
                f"NDCG@10 {logs[f'eval_{NDCG}']:.4f}, recall@10 {logs[f'eval_{RECALL}']:.4f}{auc}"
            )

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Close the bar and say which step is kept."""
        self._progress.stop()
        if state.best_metric is None:
            self._say(f"step {state.global_step} is kept, whatever the validation")
        else:
            self._say(f"best step {state.best_global_step}: NDCG@10 {state.best_metric:.4f}")

    def _say(self, line: str) -> None:
        self._progress.console.print(line, highlight=False)

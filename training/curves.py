"""The curves of a training run: its losses and what each validation found."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from rec_gen.errors import ConfigError, MissingPackageError
from rec_gen.files import new_file
from training.ranking import NDCG, RECALL
from training.run_folder import last_checkpoint


@dataclass(frozen=True)
class Losses:
    """The training loss, as it was logged.

    Attributes:
        tokens: How many tokens were read until then.
        values: The mean over the steps since the line before.
    """

    tokens: list[int]
    values: list[float]


@dataclass(frozen=True)
class Validation:
    """What one validation found.

    Attributes:
        step: The step.
        tokens: How many tokens were read until then.
        loss: The mean training loss since the validation before.
        validation_loss: The loss on held-out examples.
        ndcg: NDCG@10.
        recall: Recall@10.
    """

    step: int
    tokens: int
    loss: float
    validation_loss: float
    ndcg: float
    recall: float


@dataclass(frozen=True)
class Curves:
    """What a run logged up to its last checkpoint."""

    losses: Losses
    validations: list[Validation]


def read_curves(folder: Path) -> Curves:
    """Read the curves of a run, finished or not.

    Raises:
        ConfigError: The folder holds no checkpoint.
    """
    checkpoint = last_checkpoint(folder)
    if checkpoint is None:
        raise ConfigError(f"{folder}: holds no run that reached a validation")
    state = json.loads(Path(checkpoint, "trainer_state.json").read_text(encoding="utf-8"))
    losses, validations = Losses([], []), []
    since = 0
    for log in state["log_history"]:
        tokens = int(log.get("num_input_tokens_seen", 0))
        if "loss" in log:
            losses.tokens.append(tokens)
            losses.values.append(float(log["loss"]))
        if f"eval_{NDCG}" in log:
            recent = losses.values[since:] or losses.values[-1:]
            since = len(losses.values)
            validations.append(
                Validation(
                    step=int(log["step"]),
                    tokens=tokens,
                    loss=sum(recent) / max(1, len(recent)),
                    validation_loss=float(log["eval_loss"]),
                    ndcg=float(log[f"eval_{NDCG}"]),
                    recall=float(log[f"eval_{RECALL}"]),
                )
            )
    return Curves(losses, validations)


def curves_table(name: str, curves: Curves) -> Table:
    """One row a validation, the best one marked."""
    columns = ("step", "tokens", "loss", "validation loss", "NDCG@10", "recall@10")
    table = Table(title=name, box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="right")
    best = max((row.ndcg for row in curves.validations), default=0.0)
    for row in curves.validations:
        numbers = (row.loss, row.validation_loss, row.ndcg, row.recall)
        table.add_row(
            f"{row.step:,}",
            f"{row.tokens:,}",
            *(f"{number:.4f}" for number in numbers),
            style="bold" if row.ndcg == best else None,
        )
    return table


def draw_curves(runs: Mapping[str, Curves], path: Path) -> None:
    """Draw the curves of runs side by side over the tokens that they read.

    Args:
        runs: The curves by the name of their run.
        path: An image file; its ending says which kind, as `.svg` or `.png`.

    Raises:
        ConfigError: The ending is that of no image.
        MissingPackageError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("matplotlib", "train") from error
    figure = Figure(figsize=(10, 4), layout="constrained")
    kinds = figure.canvas.get_supported_filetypes()
    if path.suffix.lstrip(".") not in kinds:
        raise ConfigError(f"{path}: the ending of an image must be one of {', '.join(kinds)}")
    left, right = figure.subplots(1, 2)
    for name, curves in runs.items():
        at = [row.tokens for row in curves.validations]
        (line,) = left.plot(curves.losses.tokens, curves.losses.values, label=name, alpha=0.5)
        held = [row.validation_loss for row in curves.validations]
        left.plot(at, held, "o-", color=line.get_color(), label=f"{name}, validation")
        right.plot(at, [row.ndcg for row in curves.validations], "o-", label=name)
    for axes, label in ((left, "loss"), (right, "validation NDCG@10")):
        axes.set(xlabel="tokens read", ylabel=label)
        axes.legend()
        axes.grid(alpha=0.3)
    # without a date and with fixed names, the same curves give the same file
    with rc_context({"svg.hashsalt": "recgen"}), new_file(path) as part:
        figure.savefig(part, format=path.suffix.lstrip("."), metadata=_undated(path))


def _undated(path: Path) -> dict[str, None] | None:
    return {"Date": None} if path.suffix == ".svg" else None

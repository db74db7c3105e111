"""The curves of a training run: its losses and what each validation found."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, ValidationError, model_validator
from rich import box
from rich.markup import escape
from rich.table import Table

from rec_gen.errors import ConfigError, DataError, MissingPackageError
from rec_gen.files import new_file
from training.ranking import NDCG, RECALL
from training.run_folder import last_checkpoint


@dataclass(frozen=True)
class Loss:
    """The training loss, as it was logged once.

    Attributes:
        step: The step.
        tokens: How many tokens were read until then; None where the trainer counts none.
        value: The mean over the steps since the line before.
    """

    step: int
    tokens: int | None
    value: float


@dataclass(frozen=True)
class Validation:
    """What one validation found.

    Attributes:
        step: The step.
        tokens: How many tokens were read until then; None where the trainer counts none.
        loss: The mean of the training losses logged since the validation before; None where none
            was.
        validation_loss: The loss on held-out examples; None where a validation only ranks.
        ndcg: NDCG@10.
        recall: Recall@10.
    """

    step: int
    tokens: int | None
    loss: float | None
    validation_loss: float | None
    ndcg: float
    recall: float


@dataclass(frozen=True)
class Curves:
    """What a run logged up to its last checkpoint."""

    losses: list[Loss]
    validations: list[Validation]

    @property
    def count_tokens(self) -> bool:
        """Whether each line says how many tokens were read."""
        lines: list[Loss | Validation] = [*self.losses, *self.validations]
        return all(line.tokens is not None for line in lines)


class _Log(BaseModel):
    """A line of a trainer's log, as far as it is read."""

    step: int
    tokens: int | None = Field(None, alias="num_input_tokens_seen")
    loss: float | None = None
    validation_loss: float | None = Field(None, alias="eval_loss")
    ndcg: Annotated[float | None, Field(alias=f"eval_{NDCG}")] = None
    recall: Annotated[float | None, Field(alias=f"eval_{RECALL}")] = None

    @model_validator(mode="after")
    def _rank_whole(self) -> Self:
        if (self.ndcg is None) != (self.recall is None):
            raise ValueError(f"holds one of eval_{NDCG} and eval_{RECALL} without the other")
        return self


class _State(BaseModel):
    """A trainer's state, as far as it is read."""

    log_history: list[_Log]


def read_curves(folder: Path) -> Curves:
    """Read the curves of a run, finished or not.

    Raises:
        ConfigError: The folder holds no checkpoint.
        DataError: The log of the last checkpoint is none of a training run.
    """
    checkpoint = last_checkpoint(folder)
    if checkpoint is None:
        raise ConfigError(f"{folder}: holds no run that reached a validation")
    losses: list[Loss] = []
    validations: list[Validation] = []
    since = 0
    for log in _read_log(Path(checkpoint, "trainer_state.json")):
        if log.loss is not None:
            losses.append(Loss(log.step, log.tokens, log.loss))
        if log.ndcg is not None and log.recall is not None:
            recent = [line.value for line in losses[since:]]
            since = len(losses)
            validations.append(
                Validation(
                    log.step,
                    log.tokens,
                    loss=sum(recent) / len(recent) if recent else None,
                    validation_loss=log.validation_loss,
                    ndcg=log.ndcg,
                    recall=log.recall,
                )
            )
    return Curves(losses, validations)


def _read_log(file: Path) -> list[_Log]:
    try:
        return _State.model_validate_json(file.read_bytes()).log_history
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "(top level)"
        raise DataError(
            f"{file}: key '{key}': {first['msg']}: remove this checkpoint, or train again"
        ) from error


def curves_table(name: str, curves: Curves) -> Table:
    """One row a validation, the one that is kept marked: the first of the best."""
    columns = ("step", "tokens", "loss", "validation loss", "NDCG@10", "recall@10")
    table = Table(title=escape(name), box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="right")
    best = max(curves.validations, key=lambda row: row.ndcg, default=None)
    for row in curves.validations:
        numbers = (row.loss, row.validation_loss, row.ndcg, row.recall)
        table.add_row(
            *(_cell(count, ",") for count in (row.step, row.tokens)),
            *(_cell(number, ".4f") for number in numbers),
            style="bold" if row is best else None,
        )
    return table


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def draw_curves(runs: Mapping[str, Curves], path: Path) -> None:
    """Draw the curves of runs side by side over the tokens that they read.

    Where a run did not count them, all are drawn over steps.

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
    over = "tokens" if all(curves.count_tokens for curves in runs.values()) else "step"
    for name, curves in runs.items():
        at = [getattr(row, over) for row in curves.validations]
        read = [getattr(line, over) for line in curves.losses]
        (line,) = left.plot(read, [line.value for line in curves.losses], label=name, alpha=0.5)
        held = [row.validation_loss for row in curves.validations]
        if None not in held:
            left.plot(at, held, "o-", color=line.get_color(), label=f"{name}, validation")
        right.plot(at, [row.ndcg for row in curves.validations], "o-", label=name)
    for axes, label in ((left, "loss"), (right, "validation NDCG@10")):
        axes.set(xlabel="tokens read" if over == "tokens" else "step", ylabel=label)
        axes.legend()
        axes.grid(alpha=0.3)
    # without a date and with fixed names, the same curves give the same file
    with rc_context({"svg.hashsalt": "recgen"}), new_file(path) as part:
        figure.savefig(part, format=path.suffix.lstrip("."), metadata=_undated(path))


def _undated(path: Path) -> dict[str, None] | None:
    dates = {".svg": "Date", ".pdf": "CreationDate"}
    return {dates[path.suffix]: None} if path.suffix in dates else None

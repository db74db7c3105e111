"""Experiment trackers beside TensorBoard, through transformers' own integrations."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

from rec_gen.errors import ConfigError, MissingPackageError

Tracker = Literal["wandb", "mlflow"]


def require_trackers(track: Sequence[Tracker]) -> None:
    """Say before any work that a tracker is not installed.

    Raises:
        MissingPackageError: It is not.
    """
    for tracker in track:
        if find_spec(tracker) is None:
            raise MissingPackageError(tracker, "track")


@contextmanager
def tracking(track: Sequence[Tracker]) -> Iterator[None]:
    """Make what a tracker refuses, such as a missing key, one line, and end its run.

    transformers ends the runs of MLflow; one of Weights & Biases would go on in the next training.

    Raises:
        ConfigError: A tracker failed.
        MissingPackageError: A tracker lacks a package, as MLflow may for the database that it keeps
            where no server is named.
    """
    refusals: list[type[Exception]] = []
    if "wandb" in track:
        import wandb

        refusals.append(wandb.Error)
    if "mlflow" in track:
        from mlflow.exceptions import MlflowException

        refusals.append(MlflowException)
    try:
        yield
    except ImportError as error:
        if track and error.name:
            raise MissingPackageError(error.name.partition(".")[0], "track") from error
        raise
    except tuple(refusals) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"track: {type(error).__module__.partition('.')[0]} refuses this run: {reason}"
        ) from error
    finally:
        if "wandb" in track:
            wandb.finish()

"""Where a federated run stands after a round, as it lies on disk."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import Field
from safetensors.numpy import load_file, save_file

from rec_gen.config import Config
from rec_gen.files import new_folder
from training.federated.weights import Weights
from training.ranking import NDCG
from training.run_folder import CHECKPOINTS

STATE, NOW, BEST = "state.json", "weights.safetensors", "best.safetensors"


class Round(Config):
    """What one round was.

    Attributes:
        number: Counted from 1.
        averaged: How many clients were averaged.
        failed: Why the others were not, by client.
        clipped: The clients whose update was shortened.
        loss: The mean training loss of the clients; None where they keep it.
        metrics: The validation ranking after it, where there was one.
        sent: Bytes of messages to clients, validation included.
        received: Bytes of messages from them.
        seconds: How long it took.
    """

    number: int
    averaged: int
    failed: dict[int, str] = Field(default_factory=dict)
    clipped: tuple[int, ...] = ()
    loss: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    sent: int = 0
    received: int = 0
    seconds: float = 0.0


class _File(Config):
    rounds: tuple[Round, ...]


@dataclass
class State:
    """A run after some rounds.

    Attributes:
        weights: The average of the last round.
        best: The weights that ranked best; those of the beginning until there was a validation.
        rounds: All rounds so far.
    """

    weights: Weights
    best: Weights
    rounds: list[Round] = field(default_factory=list)

    @property
    def validations(self) -> list[Round]:
        """The rounds that were followed by a validation."""
        return [each for each in self.rounds if each.metrics]

    @property
    def best_round(self) -> Round:
        """The first round that ranked best."""
        return max(self.validations, key=lambda each: each.metrics[NDCG])

    def stale(self) -> int:
        """How many validations in a row were no better than the best."""
        rounds = self.validations
        return len(rounds) - 1 - rounds.index(self.best_round) if rounds else 0

    def totals(self) -> dict[str, Any]:
        """Bytes and clients over all rounds."""
        return {
            "sent": sum(each.sent for each in self.rounds),
            "received": sum(each.received for each in self.rounds),
            "clients": max((each.averaged + len(each.failed) for each in self.rounds), default=0),
        }

    def save(self, folder: Path) -> None:
        """Write it into a run's folder, in the place of the round before."""
        with new_folder(folder / CHECKPOINTS / "last") as partial:
            save_file(self.weights, partial / NOW)
            save_file(self.best, partial / BEST)
            text = _File(rounds=tuple(self.rounds)).model_dump_json(indent=2)
            (partial / STATE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, begun: Weights) -> Self:
        """Read where a run stands; before its first round, that is what it begins with."""
        last = folder / CHECKPOINTS / "last"
        if not (last / STATE).exists():
            return cls(begun, begun)
        file = _File.model_validate_json((last / STATE).read_text(encoding="utf-8"))
        return cls(load_file(last / NOW), load_file(last / BEST), list(file.rounds))

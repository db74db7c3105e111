"""Clients of a simulation that drop out or send garbage."""

import numpy as np

from rec_gen.errors import RecGenError
from training.federated.config import FaultConfig
from training.federated.local import LocalTraining
from training.federated.weights import Weights

HUGE, FLIPPED = 1e6, -10.0


class DroppedOutError(RecGenError):
    """A client was asked to train and is gone."""


def garbage_clients(faults: FaultConfig, clients: int, seed: int) -> frozenset[int]:
    """The numbers of the clients that send garbage, the same in every round."""
    count = round(faults.garbage * clients)
    return frozenset(np.random.default_rng([seed, clients]).permutation(clients)[:count].tolist())


class FaultyTraining(LocalTraining):
    """A client that trains as all do, and then drops out or spoils what it learnt."""

    def __init__(self, training: LocalTraining, faults: FaultConfig, *, garbage: bool) -> None:
        """Let a client fail.

        Args:
            training: The client.
            faults: What goes wrong.
            garbage: Whether it is one of those that send garbage.
        """
        vars(self).update(vars(training))
        self._faults, self._garbage = faults, garbage

    def train(self, weights: Weights, first: int, mu: float) -> tuple[Weights, int, float]:
        """Train, and fail; see `LocalTraining.train`.

        Raises:
            DroppedOutError: The client is gone in this round.
        """
        rng = np.random.default_rng([self._recipe.seed, 1 + self._number, 1 + first])
        if rng.random() < self._faults.drop_out:
            raise DroppedOutError("dropped out")
        learnt, rows, loss = super().train(weights, first, mu)
        return (
            (spoil(learnt, weights, self._faults), rows, loss)
            if self._garbage
            else (learnt, rows, loss)
        )


def spoil(learnt: Weights, weights: Weights, faults: FaultConfig) -> Weights:
    """Garbage in the place of an update.

    Args:
        learnt: The weights that a client came to.
        weights: What it began with.
        faults: Which kind of garbage.
    """
    if faults.attack == "nan":
        return {name: np.full_like(values, np.nan) for name, values in learnt.items()}
    if faults.attack == "shape":
        return {name: values.reshape(-1)[:-1] for name, values in learnt.items()}
    factor = HUGE if faults.attack == "huge" else FLIPPED
    return {
        name: weights[name] + np.float32(factor) * (values - weights[name])
        for name, values in learnt.items()
    }

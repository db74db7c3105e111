"""The rounds: clients are asked, their answers sifted and averaged, the average is ranked."""

import time
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, FedProx, FedTrimmedAvg
from rich.console import Console

from rec_gen.errors import RecGenError
from training.federated.config import FederatedConfig, FederatedRecipe
from training.federated.grid import CountedGrid
from training.federated.records import (
    FIRST,
    GROUND,
    LOSS,
    MU,
    from_record,
    sift,
    sift_rankings,
    to_record,
)
from training.federated.secure import masked_round
from training.federated.state import Round, State
from training.federated.weights import Weights
from training.ranking import NDCG, RECALL

POLL = 0.5


def run_rounds(
    recipe: FederatedRecipe, grid: Grid, state: State, ground: str, folder: Path
) -> State:
    """Make the rounds that are left; each is kept on disk before the next begins.

    Args:
        recipe: The run.
        grid: Reaches the clients.
        state: Where the run stands.
        ground: What the clients must share with the server.
        folder: The run's folder.

    Raises:
        RecGenError: Too few clients are there or answered, or no client ranked anything.
    """
    server = _Server(recipe, CountedGrid(grid), ground)
    console = Console(stderr=True)
    for number in range(len(state.rounds) + 1, recipe.rounds + 1):
        if state.stale() >= recipe.validation.patience:
            break
        began = time.monotonic()
        state.weights, made = server.train(number, state.weights)
        if server.validates_after(number):
            made = made.model_copy(update={"metrics": server.rank(number, state.weights)})
        sent, received = server.counted()
        spent = {"sent": sent, "received": received, "seconds": time.monotonic() - began}
        state.rounds.append(made.model_copy(update=spent))
        if made.metrics and state.stale() == 0:
            state.best = state.weights
        state.save(folder)
        line = _line(state.rounds[-1], recipe.rounds)
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return state


class _Server:
    """What the server does in one round."""

    def __init__(self, recipe: FederatedRecipe, grid: CountedGrid, ground: str) -> None:
        self._recipe, self._grid = recipe, grid
        self._settings = recipe.federated
        self._strategy = _strategy(self._settings)
        self._told = {GROUND: ground}
        self._counted = (0, 0)

    def train(self, number: int, weights: Weights) -> tuple[Weights, Round]:
        """One round's average, and what it was made of."""
        settings = self._settings
        prox = settings.strategy == "fedprox"
        first = (number - 1) * settings.local_steps
        told = {**self._told, FIRST: first, MU: settings.mu if prox else 0.0}
        most = self._recipe.train.batch_size * settings.local_steps
        clients = self._wait(number)
        if settings.secure:
            found, averaged = masked_round(
                self._grid, clients, number, weights, told, settings, most
            )
            if found is None:
                raise self._too_few(number, averaged, len(clients), "the others dropped out")
            return found, Round(number=number, averaged=averaged)
        messages = list(
            self._strategy.configure_train(
                number, to_record(weights), ConfigRecord(told), self._grid
            )
        )
        asked = [message.metadata.dst_node_id for message in messages]
        replies = self._grid.send_and_receive(messages, timeout=settings.wait)
        sifted = sift(asked, replies, weights, most, settings.clip)
        if len(sifted.kept) < settings.least:
            reasons = "; ".join(f"client {c} {why}" for c, why in sifted.failed.items())
            raise self._too_few(number, len(sifted.kept), len(asked), reasons)
        arrays, metrics = self._strategy.aggregate_train(number, sifted.kept)
        weights = from_record(arrays)
        if not all(np.isfinite(each).all() for each in weights.values()):
            raise RecGenError(f"round {number}: the average overflows; set federated.clip")
        made = Round(
            number=number,
            averaged=len(sifted.kept),
            failed=sifted.failed,
            clipped=tuple(sifted.clipped),
            loss=float(metrics[LOSS]),
        )
        return weights, made

    def validates_after(self, number: int) -> bool:
        """Whether a multiple of `validation.every_steps` is reached in a round, or the end."""
        steps, every = self._settings.local_steps, self._recipe.validation.every_steps
        return (
            number == self._recipe.rounds or number * steps // every > (number - 1) * steps // every
        )

    def rank(self, number: int, weights: Weights) -> dict[str, float]:
        """The validation ranking, a mean over the examples of all clients that answered."""
        messages = self._strategy.configure_evaluate(
            number, to_record(weights), ConfigRecord(dict(self._told)), self._grid
        )
        replies = self._grid.send_and_receive(messages, timeout=self._settings.wait)
        kept = sift_rankings(replies, (NDCG, RECALL))
        if not kept:
            raise RecGenError(
                f"round {number}: no client ranked a validation example: give clients users with "
                "held-out interactions; the same command goes on from the last round"
            )
        metrics = self._strategy.aggregate_evaluate(number, kept)
        return {name: float(metrics[name]) for name in (NDCG, RECALL)}

    def counted(self) -> tuple[int, int]:
        """Bytes to and from clients since this was asked last."""
        before, self._counted = self._counted, (self._grid.sent, self._grid.received)
        return self._counted[0] - before[0], self._counted[1] - before[1]

    def _wait(self, number: int) -> list[int]:
        """The clients, once enough are there."""
        least, ends = self._settings.least, time.monotonic() + self._settings.wait
        while len(clients := sorted(self._grid.get_node_ids())) < least:
            if time.monotonic() > ends:
                raise self._too_few(
                    number, len(clients), len(clients), "the others are not connected"
                )
            time.sleep(POLL)
        return clients

    def _too_few(self, number: int, answered: int, asked: int, reasons: str) -> RecGenError:
        return RecGenError(
            f"round {number}: {answered} of {asked} clients are fit to be averaged and "
            f"federated.least is {self._settings.least} ({reasons}): start more clients, or lower "
            f"it; the same command goes on after round {number - 1}"
        )


def _strategy(settings: FederatedConfig) -> FedAvg:
    """Flower's strategy, which asks all clients that are there."""
    shared = {
        "min_train_nodes": settings.least,
        "min_evaluate_nodes": 1,
        "min_available_nodes": settings.least,
    }
    if settings.trim:
        return FedTrimmedAvg(beta=settings.trim, **shared)
    if settings.strategy == "fedprox":
        return FedProx(proximal_mu=settings.mu, **shared)
    return FedAvg(**shared)


def _line(made: Round, rounds: int) -> str:
    """A round, for people."""
    parts = [f"round {made.number} of {rounds}: {made.averaged} clients averaged"]
    if made.loss is not None:
        parts.append(f"loss {made.loss:.3f}")
    if made.clipped:
        parts.append(f"shortened {', '.join(map(str, made.clipped))}")
    parts += [f"left out client {client}: {why}" for client, why in made.failed.items()]
    if made.metrics:
        parts.append(f"NDCG@10 {made.metrics[NDCG]:.4f}, recall@10 {made.metrics[RECALL]:.4f}")
    megabytes = f"{made.sent / 1e6:.1f} MB sent, {made.received / 1e6:.1f} MB received"
    return "; ".join([*parts, megabytes])

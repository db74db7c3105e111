"""Secure aggregation: the server learns the average of the weights and no client's own.

Source: Bell, Bonawitz, Gascon, Lepoint and Raykova, "Secure Single-Server Aggregation with
(Poly)Logarithmic Overhead", 2020, as Flower implements it. Flower's workflow speaks its older
messages, which only this module knows.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import (
    Code,
    FitIns,
    FitRes,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.compat.common import recorddict_compat as compat
from flwr.server import LegacyContext
from flwr.server.client_manager import ClientManager, SimpleClientManager
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.serverapp import Grid

from training.federated.config import FederatedConfig
from training.federated.local import LocalTraining
from training.federated.records import FIRST, MU
from training.federated.weights import Weights, read_weights

Values = dict[str, Any]


def answer_masked(
    message: Message,
    context: Context,
    training: LocalTraining,
    check: Callable[[ConfigRecord], None],
) -> Message:
    """Take a client's part in one of the four stages of a round.

    Args:
        message: What the server sent.
        context: Where Flower keeps the client's keys between the stages.
        training: The client.
        check: Refuses a server that it has nothing in common with.
    """

    def fit(message: Message, _: Context) -> Message:
        asked = compat.recorddict_to_fitins(message.content, keep_input=True)
        check(ConfigRecord(asked.config))
        names = list(read_weights(training.model))
        arrays = parameters_to_ndarrays(asked.parameters)
        weights, learnt, _ = training.train(
            dict(zip(names, arrays, strict=True)), int(asked.config[FIRST]), float(asked.config[MU])
        )
        answer = FitRes(
            Status(Code.OK, ""),
            ndarrays_to_parameters([weights[name] for name in names]),
            learnt,
            {},
        )
        return Message(compat.fitres_to_recorddict(answer, keep_input=True), reply_to=message)

    return secaggplus_mod(message, context, fit)


def masked_round(
    grid: Grid,
    clients: Sequence[int],
    number: int,
    weights: Weights,
    config: Values,
    settings: FederatedConfig,
    most: int,
) -> tuple[Weights | None, int]:
    """Let clients train, and average what they learnt without seeing it.

    Keys can be put together again by more than half of the clients, and by no fewer.

    Args:
        grid: Reaches the clients.
        clients: Which.
        number: The round.
        weights: What it begins with.
        config: What the clients are told besides.
        settings: The run's.
        most: The most rows that a client can have learnt from.

    Returns:
        The weighted average, and of how many clients it is; None where too many dropped out.
    """
    manager = SimpleClientManager()
    for client in clients:
        manager.register(GridClientProxy(client, grid, grid.run.run_id))
    strategy = _Everyone(config)
    state = RecordDict()
    begun = ArrayRecord(list(weights.values()))
    state.array_records[MAIN_PARAMS_RECORD] = begun
    state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({Key.CURRENT_ROUND: number})
    context = LegacyContext(
        Context(grid.run.run_id, 0, {}, state, {}), strategy=strategy, client_manager=manager
    )
    threshold = max(settings.least, len(clients) // 2 + 1)
    workflow = SecAggPlusWorkflow(
        num_shares=1.0,
        reconstruction_threshold=min(threshold, len(clients)),
        max_weight=float(most),
        clipping_range=settings.secure_range,
        timeout=settings.wait,
    )
    workflow(grid, context)
    found = state.array_records[MAIN_PARAMS_RECORD]
    if found is begun:
        return None, strategy.averaged
    arrays = [array.astype(np.float32) for array in found.to_numpy_ndarrays()]
    return dict(zip(weights, arrays, strict=True)), strategy.averaged


class _Everyone(FedAvg):  # type: ignore[misc]
    """Asks every client; what it is handed to average has been averaged under masks."""

    def __init__(self, config: Values) -> None:
        super().__init__()
        self.averaged = 0
        self._config = config

    def configure_fit(
        self, server_round: int, parameters: Any, client_manager: ClientManager
    ) -> Any:
        return [
            (proxy, FitIns(parameters, dict(self._config)))
            for proxy in client_manager.all().values()
        ]

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
        self.averaged = len(results)
        return (results[0][1].parameters, {}) if results else (None, {})

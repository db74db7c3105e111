"""The tables of federated training, of lists whose numbers are known."""

from pathlib import Path
from typing import Any

import numpy as np

from eval.benchmarks.federated import (
    BATCH,
    CENTRAL,
    CENTRAL_BATCH,
    compared,
    figures_of,
    settings_of,
    show,
)
from eval.lists import RankedLists
from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Example
from rec_gen.federation import Federation
from rec_gen.manifest import Manifest
from rec_gen.testing import random_bundle
from tests.toy import toy_dataset


def lists(places: list[float]) -> RankedLists:
    found = RankedLists.empty(len(places), 10)
    found.ranks.best[:] = found.ranks.worst[:] = places
    return found


def manifest(made: Federation | None, **train: Any) -> Manifest:
    catalog = Catalog(toy_dataset().catalog.frame)
    changes = {"metrics": {"ndcg@10": 0.3}, "federation": made, "recipe": {"train": train}}
    return random_bundle(catalog, "item").manifest.model_copy(update=changes)


def test_every_arm_is_told_to_read_as_many_examples() -> None:
    central, federated = settings_of(240, 20, Path("base"))
    clients = federated["federated.clients"]
    steps = federated["train.max_steps"]
    assert isinstance(clients, int)
    assert isinstance(steps, int)
    assert central["train.max_steps"] == 240
    assert steps * clients * BATCH == 240 * CENTRAL_BATCH


def test_arms_are_compared_with_the_central_one() -> None:
    held = [Example(f"u{n}", np.zeros(0, np.int32), 0) for n in range(40)]
    made = Federation(
        settings={"local_steps": 3}, clients=4, rounds=2, best_round=1, sent=4_000_000, received=6
    )
    arms = compared(
        {
            CENTRAL: lists([0.0] * 40),
            "FedAvg": lists([0.0, np.inf] * 20),
            "popularity": lists([np.inf] * 40),
        },
        {
            CENTRAL: manifest(None, max_steps=9, batch_size=8, learning_rate=0.1),
            "FedAvg": manifest(made, max_steps=5, batch_size=2, learning_rate=0.2),
        },
        held,
    )
    by_name = {arm.name: arm for arm in arms}
    assert by_name["FedAvg"].test["ndcg@10"].mean == 0.5
    assert by_name["FedAvg"].less is not None
    assert by_name["FedAvg"].less.mean == -0.5
    assert by_name["FedAvg"].less.p_holm < 0.01
    assert by_name["FedAvg"].examples == 5 * 2 * 4
    assert by_name[CENTRAL].examples == 72
    assert by_name["popularity"].rate is None
    figures = figures_of(arms)
    assert figures["FedAvg: megabytes"] == 4.0
    assert figures["FedAvg: megabytes a round"] == 2.0
    assert show(arms).row_count == 3

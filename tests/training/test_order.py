import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.launched import Death, run
from training.order import LengthGroupedOrder
from training.run_folder import CHECKPOINTS


def test_epochs_differ_and_can_be_drawn_again() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 100).tolist()
    order, again = (LengthGroupedOrder(4, lengths, seed=0) for _ in range(2))
    first = list(order)
    assert sorted(first) == list(range(100))
    order.set_epoch(1)
    second = list(order)
    assert second != first
    again.set_epoch(1)
    assert list(again) == second
    spread = [np.ptp([lengths[row] for row in first[n : n + 4]]) for n in range(4, 100, 4)]
    assert np.median(spread) < 10


def test_a_run_goes_on_in_the_order_of_its_epoch(tmp_path: Path) -> None:
    changes = {
        "train": {"max_steps": 12, "group_by_length": True},
        "validation": {"every_steps": 4, "patience": 99},
    }

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", changes, Death(10, stop))
    losses = []
    for name in ("stopped", "whole"):
        run(tmp_path / name, changes)
        state = tmp_path / name / CHECKPOINTS / "checkpoint-12" / "trainer_state.json"
        history = json.loads(state.read_text())["log_history"]
        losses.append([log["loss"] for log in history if "loss" in log])
    assert losses[0] == losses[1]

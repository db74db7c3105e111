"""DeepSpeed's ZeRO-2 with two processes on the CPU, over gloo."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.toy import tiny_base
from tests.training.launched import run
from tests.training.test_processes import RUNS, STEPS, launch, losses, trained_alike, weights
from training.run_folder import CHECKPOINTS, last_checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("deepspeed") is None or shutil.which("c++") is None,
        reason="DeepSpeed, or the compiler that it needs on a CPU, is not installed",
    ),
]


def changes(name: str, batch_size: int, base: str) -> dict[str, Any]:
    train = {"max_steps": STEPS, "learning_rate": 0.01, "batch_size": batch_size}
    validation = {"every_steps": 4, "patience": 99}
    if name == "lora":
        model = {"base": base, "adapter": "lora", "dropout": 0.0, "free_dropout": 0.0}
        model["embed"] = ["cooccurrence"]
        return {"model": model, "train": train, "validation": validation}
    train |= {**RUNS[name]["train"], "accumulation": 2 if name == "composed" else 1}
    return {**RUNS[name], "train": train, "validation": validation}


def launch_runs(*runs: dict[str, Any]) -> Any:
    return launch("tests.training.launched", json.dumps(runs), config="cpu-2-zero")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_base(tmp_path_factory.mktemp("base"), tied=False)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, base: str) -> Path:
    """The runs by two processes, in a folder of its own each."""
    folder = tmp_path_factory.mktemp("two")
    names = ("composed", "semantic", "lora")
    done = launch_runs(
        *({"folder": str(folder / name), "changes": changes(name, 4, base)} for name in names)
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", ["composed", "semantic", "lora"])
def test_shards_train_as_one_process_with_batches_twice_as_large(
    two: Path, tmp_path: Path, base: str, name: str
) -> None:
    run(tmp_path, changes(name, 8, base))
    trained_alike(two / name, tmp_path)


def test_the_best_step_is_restored(two: Path) -> None:
    state = Path(last_checkpoint(two / "semantic") or "") / "trainer_state.json"
    best = json.loads(state.read_text())["best_global_step"]
    assert best < STEPS
    kept = load_file(two / "semantic" / CHECKPOINTS / f"checkpoint-{best}" / "model.safetensors")
    assert all(torch.equal(kept[key], value) for key, value in weights(two / "semantic").items())


def test_each_process_keeps_half_of_the_optimizer_states(two: Path) -> None:
    shards = sorted((two / "lora" / CHECKPOINTS / f"checkpoint-{STEPS}").rglob("*optim_states.pt"))
    sizes = [
        sum(
            moment.numel()
            for state in torch.load(shard, weights_only=False)["optimizer_state_dict"][
                "base_optimizer_state"
            ]["state"].values()
            for name, moment in state.items()
            if name == "exp_avg"
        )
        for shard in shards
    ]
    trained = sum(weight.numel() for weight in weights(two / "lora").values())
    assert len(sizes) == 2
    assert max(sizes) < 0.6 * trained


def test_a_killed_run_of_shards_ends_like_an_undisturbed_one(two: Path, tmp_path: Path) -> None:
    again = {"folder": str(tmp_path), "changes": changes("composed", 4, "")}
    assert launch_runs({**again, "death": 10}).returncode != 0
    assert (last_checkpoint(tmp_path) or "").endswith("checkpoint-8")
    assert not (tmp_path / "bundle").exists()
    done = launch_runs(again)
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path) == losses(two / "composed")
    assert all(torch.equal(weights(tmp_path)[k], v) for k, v in weights(two / "composed").items())

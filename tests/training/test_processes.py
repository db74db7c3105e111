"""`accelerate launch` with two processes on the CPU, over gloo."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainingArguments

from rec_gen.bundle import Bundle
from rec_gen.errors import ConfigError
from tests.toy import SCRATCH
from tests.training.launched import run, uneven_dataset
from training.arguments import on_one_device
from training.processes import join, refuse_several
from training.ranking import NDCG
from training.run_folder import CHECKPOINTS, LOGS, last_checkpoint

ROOT = Path(__file__).parent.parent.parent
STEPS = 12
RUNS: dict[str, dict[str, Any]] = {
    "lm": {"train": {"score": "lm", "label_smoothing": 0.1}},
    "catalog": {"train": {"score": "catalog", "recency": 1.0, "accumulation": 2}},
    "composed": {
        "model": {"embed": ["cooccurrence"], "free_dropout": 0.0},
        "train": {"score": "catalog"},
    },
    "untied": {
        "model": {"scratch": {**SCRATCH, "tie_word_embeddings": False}},
        "train": {"score": "catalog", "group_by_length": True},
    },
    "semantic": {
        "spelling": {"scheme": "semantic", "sources": ["cooccurrence"], "levels": 2, "codes": 4},
        "train": {"loss": "last-item", "gradient_checkpointing": True},
    },
}


def launch(*command: str, config: str = "cpu-2") -> "subprocess.CompletedProcess[str]":
    accelerate = [sys.executable, "-m", "accelerate.commands.launch"]
    file = ["--config_file", f"training/accelerate/{config}.yaml"]
    return subprocess.run(
        [*accelerate, *file, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )


def changes(name: str, batch_size: int) -> dict[str, Any]:
    table = RUNS[name]
    train = {"max_steps": STEPS, "batch_size": batch_size, "learning_rate": 0.01, **table["train"]}
    return {**table, "train": train, "validation": {"every_steps": 4, "patience": 99}}


def losses(folder: Path) -> list[float]:
    file = folder / CHECKPOINTS / f"checkpoint-{STEPS}" / "trainer_state.json"
    history = json.loads(file.read_text())["log_history"]
    return [log["loss"] for log in history if "loss" in log]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """What a run's bundle holds of its own, a whole model or an adapter."""
    return dict(load_file(next((folder / "bundle").glob("*/*model.safetensors"))))


def trained_alike(two: Path, alone: Path) -> None:
    """The same losses at all steps, nearly the same weights, and the same validation ranking."""
    assert len(losses(alone)) == STEPS
    assert losses(two) == pytest.approx(losses(alone), rel=1e-4)
    together, whole = weights(two), weights(alone)
    assert together.keys() == whole.keys()
    for key in whole:
        torch.testing.assert_close(together[key], whole[key], rtol=1e-3, atol=1e-4)
    ours, theirs = (Bundle.load(folder / "bundle").manifest for folder in (two, alone))
    assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-2)
    assert ours.metrics[NDCG] == theirs.metrics[NDCG]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs by two processes, in a folder of its own each."""
    folder = tmp_path_factory.mktemp("two")
    runs = [{"folder": str(folder / name), "changes": changes(name, 4)} for name in RUNS]
    done = launch("tests.training.launched", json.dumps(runs))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_as_one_with_batches_twice_as_large(
    two: Path, tmp_path: Path, name: str
) -> None:
    run(tmp_path, changes(name, 8))
    trained_alike(two / name, tmp_path)


@pytest.mark.slow
def test_only_the_main_process_writes(two: Path) -> None:
    for folder in two.iterdir():
        parts = {"bundle", CHECKPOINTS, LOGS, "run.json"}
        assert {part.name for part in folder.iterdir()} == parts
        assert len(list((folder / LOGS).iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["composed", "untied"])
def test_a_killed_run_of_two_ends_like_an_undisturbed_one(
    two: Path, tmp_path: Path, name: str
) -> None:
    again = {"folder": str(tmp_path), "changes": changes(name, 4)}
    assert launch("tests.training.launched", json.dumps([{**again, "death": 10}])).returncode != 0
    assert (last_checkpoint(tmp_path) or "").endswith("checkpoint-8")
    assert not (tmp_path / "bundle").exists()
    done = launch("tests.training.launched", json.dumps([again]))
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path) == losses(two / name)
    assert all(torch.equal(weights(tmp_path)[k], v) for k, v in weights(two / name).items())


@pytest.mark.slow
def test_the_command_stops_all_processes_when_the_minutes_are_used_up(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    uneven_dataset().save(tmp_path / "data")
    recipe = tmp_path / "toy.toml"
    recipe.write_text(
        f'name = "toy"\n[data]\nprepared = "{tmp_path / "data"}"\n'
        '[prompt]\ntemplate = "sequence"\nmax_tokens = 64\n'
        "[model.scratch]\nhidden_size = 32\nintermediate_size = 64\nnum_hidden_layers = 1\n"
        "num_attention_heads = 2\nnum_key_value_heads = 2\nhead_dim = 16\n"
        "[train]\nmax_steps = 5000\nbatch_size = 4\n[validation]\nevery_steps = 1000\n"
    )
    out = tmp_path / "run"
    done = launch("rec_gen", "train", str(recipe), "--out", str(out), "--max-minutes", "0.03")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("bundle: ") == 1
    assert Bundle.load(out / "bundle")
    assert int((last_checkpoint(out) or "").rpartition("-")[2]) < 5000
    refused = launch("rec_gen", "refine", str(out / "bundle"), "--method", "dpo")
    assert "recgen refine runs in one process" in refused.stderr


@pytest.mark.parametrize(
    ("way", "name"), [("FSDP", "FSDP"), ("DEEPSPEED", "ZeRO-3")], ids=["fsdp", "zero-3"]
)
def test_weights_that_processes_share_are_refused(
    monkeypatch: pytest.MonkeyPatch, way: str, name: str
) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{way}", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    with pytest.raises(ConfigError, match=rf"asks for {name}: .* training/accelerate/gpus-zero"):
        join("float32")


def test_says_what_deepspeed_does_not_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"model\.dtype: DeepSpeed on CPUs trains 'float32'"):
        join("bfloat16")


def test_stages_after_training_are_refused_with_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(ConfigError, match="recgen refine runs in one process"):
        refuse_several("refine")


def test_a_process_trains_on_one_device() -> None:
    arguments = TrainingArguments(use_cpu=True)
    arguments._n_gpu = 2
    on_one_device(arguments)
    assert arguments.n_gpu == 1

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file

from rec_gen.bundle import Bundle
from rec_gen.counts import MarkovKNN
from rec_gen.data.dataset import Split
from rec_gen.errors import ConfigError
from rec_gen.models import native_dtype
from rec_gen.recommender import Recommender
from rec_gen.templates import Template
from tests.toy import tiny_base, toy_dataset, toy_recipe
from training.mixture import training_rows
from training.ranking import rank_examples
from training.run_folder import CHECKPOINTS, LOGS, last_checkpoint
from training.setup import prepare_materials
from training.sft import train, untrained_bundle


def test_learns_the_pattern_and_keeps_the_best_step(tmp_path: Path) -> None:
    recipe = toy_recipe(train={"max_steps": 60}, validation={"every_steps": 20})
    bundle = train(recipe, toy_dataset(), tmp_path)
    metrics = Bundle.load(bundle).manifest.metrics
    assert metrics["ndcg@10"] > 0.8
    recommender = Recommender.load(bundle)
    (answer,) = recommender.recommend([["i1", "i2", "i3", "i4", "i5"]], k=1)
    assert answer[0].item.id == "i6"
    assert list((tmp_path / LOGS).glob("events.out.tfevents.*"))


def test_a_finished_run_is_not_repeated(tmp_path: Path) -> None:
    recipe = toy_recipe()
    bundle = train(recipe, toy_dataset(), tmp_path)
    written = (bundle / "manifest.json").stat().st_mtime_ns
    assert train(recipe, toy_dataset(), tmp_path) == bundle
    assert (bundle / "manifest.json").stat().st_mtime_ns == written
    train(recipe, toy_dataset(), tmp_path, restart=True)
    assert (bundle / "manifest.json").stat().st_mtime_ns > written


def test_notes_the_minutes_over_resumed_runs(tmp_path: Path) -> None:
    bundle = train(toy_recipe(), toy_dataset(), tmp_path)
    minutes = Bundle.load(bundle).manifest.minutes
    assert minutes is not None
    assert 0 < minutes < 10
    shutil.rmtree(bundle)
    state = Path(last_checkpoint(tmp_path) or "") / "trainer_state.json"
    table = json.loads(state.read_text())
    table["stateful_callbacks"]["LastStepCallback"]["attributes"]["seconds_before"] = 1200.0
    state.write_text(json.dumps(table))
    resumed = Bundle.load(train(toy_recipe(), toy_dataset(), tmp_path)).manifest.minutes
    assert resumed is not None
    assert 20 < resumed < 30


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"max_steps": 5}},  # amid an epoch
        {"train": {"max_steps": 9, "learning_rate": 1e-9}, "validation": {"patience": 1}},
    ],
    ids=["steps", "patience"],
)
def test_a_run_killed_after_its_last_checkpoint_trains_no_further(
    tmp_path: Path, changes: dict[str, dict[str, Any]]
) -> None:
    recipe = toy_recipe(
        train={**changes["train"], "schedule": "constant_with_warmup"},
        validation={"every_steps": 2, **changes.get("validation", {})},
    )
    bundle = train(recipe, toy_dataset(), tmp_path)
    weights, last = load_file(bundle / "model" / "model.safetensors"), last_checkpoint(tmp_path)
    shutil.rmtree(bundle)
    train(recipe, toy_dataset(), tmp_path)
    assert last_checkpoint(tmp_path) == last
    again = load_file(bundle / "model" / "model.safetensors")
    assert all(torch.equal(again[name], weights[name]) for name in weights)


def test_counts_a_prior_where_the_recipe_asks_for_it(tmp_path: Path) -> None:
    assert Bundle.load(train(toy_recipe(), toy_dataset(), tmp_path / "a")).prior is None
    recipe = toy_recipe(prior={"smoothing": 0.25})
    prior = Bundle.load(train(recipe, toy_dataset(), tmp_path / "b")).prior
    assert prior is not None
    assert prior.smoothing == 0.25
    counted = MarkovKNN().fit(toy_dataset()).transitions
    assert (prior.counts.transitions != counted).nnz == 0


def test_refuses_the_folder_of_another_run(tmp_path: Path) -> None:
    train(toy_recipe(), toy_dataset(), tmp_path)
    with pytest.raises(ConfigError, match=r"differs in seed\): .* add --restart"):
        train(toy_recipe(seed=1), toy_dataset(), tmp_path)


def test_a_moved_run_goes_on_to_its_best_step(tmp_path: Path) -> None:
    recipe = toy_recipe(train={"max_steps": 12})
    before = Bundle.load(train(recipe, toy_dataset(), tmp_path / "a")).manifest.metrics
    shutil.rmtree(tmp_path / "a" / "bundle")
    (tmp_path / "a").rename(tmp_path / "b")
    bundle = Bundle.load(train(recipe, toy_dataset(), tmp_path / "b"))
    examples = list(toy_dataset().examples(Split.VALID))
    assert rank_examples(bundle, examples, 10, True)["ndcg@10"] == before["ndcg@10"]


def test_refuses_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(ConfigError, match="holds files of something else"):
        train(toy_recipe(), toy_dataset(), tmp_path, restart=True)


def test_a_failing_restart_keeps_the_bundle(tmp_path: Path) -> None:
    bundle = train(toy_recipe(), toy_dataset(), tmp_path)
    broken = toy_recipe(model={"scratch": {"num_hidden_layers": -1}})
    with pytest.raises(ConfigError, match=r"model\.scratch: transformers refuses it"):
        train(broken, toy_dataset(), tmp_path, restart=True)
    assert Bundle.load(bundle)


def test_a_half_written_checkpoint_is_passed_over(tmp_path: Path) -> None:
    train(toy_recipe(), toy_dataset(), tmp_path)
    (tmp_path / CHECKPOINTS / "checkpoint-6" / "trainer_state.json").write_text("{")
    checkpoint = last_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.endswith("checkpoint-3")


def test_refuses_to_go_on_with_other_data(tmp_path: Path) -> None:
    train(toy_recipe(), toy_dataset(), tmp_path)
    with pytest.raises(ConfigError, match="differs in the data's content"):
        train(toy_recipe(), toy_dataset(seed=1), tmp_path)


def test_a_run_may_go_on_with_another_time_limit(tmp_path: Path) -> None:
    bundle = train(toy_recipe(), toy_dataset(), tmp_path)
    again = toy_recipe(train={"max_minutes": 5.0})
    assert train(again, toy_dataset(), tmp_path) == bundle


def test_a_run_that_goes_on_ends_by_its_own_time_limit(tmp_path: Path) -> None:
    bundle = train(toy_recipe(train={"max_minutes": 60}), toy_dataset(), tmp_path)
    for left in (bundle, tmp_path / CHECKPOINTS / "checkpoint-6"):
        shutil.rmtree(left)
    train(toy_recipe(train={"max_minutes": 1e-6}), toy_dataset(), tmp_path)
    checkpoint = last_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.endswith("checkpoint-4")


def test_stops_when_the_minutes_are_used_up(tmp_path: Path) -> None:
    recipe = toy_recipe(train={"max_steps": 5000, "max_minutes": 0.02})
    bundle = train(recipe, toy_dataset(), tmp_path)
    checkpoint = last_checkpoint(tmp_path)
    assert checkpoint is not None
    assert int(checkpoint.rpartition("-")[2]) < 5000
    assert "ndcg@10" in Bundle.load(bundle).manifest.metrics


def test_a_run_says_what_its_semantic_ids_are_like(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spelling = {"scheme": "semantic", "sources": ["cooccurrence"], "levels": 2, "codes": 4}
    bundle = Bundle.load(train(toy_recipe(spelling=spelling), toy_dataset(), tmp_path / "run"))
    found = bundle.manifest.semantic_ids
    assert found is not None
    assert found.perplexity == pytest.approx((4, 4))
    assert found.used == (1, 1)
    assert found.cold == 0
    longer = [tokens for tokens in bundle.spellings.tokens if len(tokens) == 3]
    assert found.collisions == len(longer) / 12
    assert f"{found}\n" in capsys.readouterr().err
    others = Bundle.load(train(toy_recipe(), toy_dataset(), tmp_path / "other")).manifest
    assert others.semantic_ids is None


def test_auto_is_the_type_of_this_machine(tmp_path: Path) -> None:
    kind = native_dtype()
    bundle = train(toy_recipe(model={"dtype": "auto"}), toy_dataset(), tmp_path)
    loaded = Bundle.load(bundle)
    assert loaded.manifest.dtype == kind
    assert next(loaded.model.parameters()).dtype == getattr(torch, kind)
    assert train(toy_recipe(model={"dtype": kind}), toy_dataset(), tmp_path) == bundle


def test_crops_are_learnt_besides() -> None:
    def rows(crops: int) -> int:
        recipe, dataset = toy_recipe(train={"crops": crops}), toy_dataset()
        template = Template.load(recipe.prompt.template)
        materials = prepare_materials(recipe, dataset, template)
        return len(
            training_rows(recipe, dataset, untrained_bundle(recipe, dataset, template, materials))
        )

    assert rows(3) == 4 * rows(0)


ADAPTERS = [("lora", True), ("lora", False), ("qlora", True), ("qlora", False)]


@pytest.mark.parametrize(("adapter", "tied"), ADAPTERS)
@pytest.mark.parametrize("scheme", ["item", "semantic"])
def test_adapters_train_the_new_tokens(
    tmp_path: Path, adapter: str, tied: bool, scheme: str
) -> None:
    """At the input and the output, tied or not, in full precision and in 4 bits."""
    base = tiny_base(tmp_path / "base", tied=tied)
    recipe = toy_recipe(
        prompt={"template": "next_item", "max_tokens": 512},
        spelling={"scheme": scheme, "sources": ["cooccurrence"], "levels": 2, "codes": 4},
        model={"base": base, "adapter": adapter, "dtype": "float32"},
        train={"max_steps": 12, "learning_rate": 0.02},
    )
    dataset = toy_dataset()
    model = prepare_materials(recipe, dataset, Template.load("next_item")).model
    before = get_peft_model_state_dict(model, save_embedding_layers=False)
    bundle = train(recipe, dataset, tmp_path / "run")
    after = load_file(bundle / "adapter" / "adapter_model.safetensors")
    new_tokens = [name for name in after if "trainable_tokens_delta" in name]
    assert len(new_tokens) == (1 if tied else 2)
    for name in new_tokens:
        moved = (after[name].float() - before[name].float()).abs().amax(dim=1)
        assert (moved > 1e-3).all()
    (answer,) = Recommender.load(bundle).recommend([["i1", "i2", "i3"]], k=12)
    assert {r.item.id for r in answer} == {f"i{item}" for item in range(12)} - {"i1", "i2", "i3"}


def test_a_loaded_adapter_scores_as_the_trained_model(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    recipe = toy_recipe(
        prompt={"template": "next_item", "max_tokens": 512},
        model={"base": base, "adapter": "lora"},
        train={"max_steps": 6},
    )
    bundle = train(recipe, toy_dataset(), tmp_path / "run")
    metrics = Bundle.load(bundle).manifest.metrics
    examples = list(toy_dataset().examples(Split.VALID))
    again = rank_examples(Bundle.load(bundle), examples, beam_width=10, exclude_seen=True)
    assert again["ndcg@10"] == pytest.approx(metrics["ndcg@10"], abs=1e-6)


RUN = """
import json, sys
from pathlib import Path
from tests.toy import toy_dataset, toy_recipe
from training.sft import untrained_bundle, train
train(toy_recipe(**json.loads(sys.argv[2])), toy_dataset(), Path(sys.argv[1]))
"""


def start(folder: Path, changes: dict[str, Any]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", RUN, str(folder), json.dumps(changes)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


UNHURRIED = {"train": {"max_steps": 80}, "validation": {"every_steps": 10, "patience": 99}}
MIXED = {
    **UNHURRIED,
    "prompt": {"max_tokens": 300},
    "train": {"max_steps": 40, "batch_size": 2, "score": "catalog", "packing": True},
    "tasks": [{"template": "rating"}, {"template": "title_of_item"}, {"template": "search"}],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    assert start(folder, UNHURRIED).wait() == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("checkpoints", [0, 1, 4])
def test_a_killed_run_ends_like_an_undisturbed_one(
    whole: Path, tmp_path: Path, checkpoints: int
) -> None:
    kill_and_go_on(tmp_path / "killed", UNHURRIED, checkpoints)
    same_end(tmp_path / "killed", whole)


@pytest.mark.slow
def test_a_killed_mixture_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    assert start(tmp_path / "whole", MIXED).wait() == 0
    kill_and_go_on(tmp_path / "killed", MIXED, 2)
    same_end(tmp_path / "killed", tmp_path / "whole")


def kill_and_go_on(folder: Path, changes: dict[str, Any], checkpoints: int) -> None:
    """Kill a run after some checkpoints, and let it go on to its end."""
    running = start(folder, changes)
    deadline = time.monotonic() + 120
    while written(folder) < 10 * checkpoints or not (folder / "run.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (folder / "bundle").exists()
    assert start(folder, changes).wait() == 0


def same_end(folder: Path, whole: Path) -> None:
    """The same losses at all steps, and the same weights."""
    losses = []
    for run in (folder, whole):
        state = json.loads(Path(last_checkpoint(run) or "", "trainer_state.json").read_text())
        losses.append([log["loss"] for log in state["log_history"] if "loss" in log])
    assert losses[0] == losses[1]
    weights = [load_file(run / "bundle" / "model" / "model.safetensors") for run in (folder, whole)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def written(folder: Path) -> int:
    """The step of the last checkpoint; 0 before the first."""
    checkpoint = last_checkpoint(folder)
    return int(checkpoint.rpartition("-")[2]) if checkpoint else 0

from pathlib import Path
from typing import Any

import pytest
import torch

from rec_gen.bundle import Bundle
from rec_gen.errors import ConfigError
from rec_gen.templates import Template
from tests.toy import EVERY_TASK, rated, tiny_base, toy_dataset, toy_recipe
from training.mixture import task_templates
from training.ranking import validation_examples
from training.recipe import Recipe
from training.setup import prepare_materials
from training.sft import sft_trainer, train, untrained_bundle


def losses_and_gradients(recipe: Recipe, folder: Path) -> tuple[float, int, list[torch.Tensor]]:
    """The mean loss of all training rows in one batch, its rows, and the gradients."""
    dataset, template = rated(toy_dataset()), Template.load(recipe.prompt.template)
    tasks = task_templates(recipe, template)
    materials = prepare_materials(recipe, dataset, template, tasks)
    bundle = untrained_bundle(recipe, dataset, template, materials, tasks)
    held = validation_examples(dataset, recipe.validation, recipe.seed)
    trainer = sft_trainer(recipe, dataset, bundle, folder, held, materials.new_tokens)
    rows = trainer.train_dataset
    loss = trainer.compute_loss(bundle.model, trainer.data_collator(list(rows)))
    loss.backward()
    gradients = [p.grad for p in bundle.model.parameters() if p.grad is not None]
    return float(loss.detach()), len(rows), gradients


@pytest.mark.parametrize("score", ["lm", "catalog"])
@pytest.mark.parametrize("base", ["scratch", "pretrained"])
def test_packed_rows_teach_what_single_ones_teach(tmp_path: Path, score: str, base: str) -> None:
    changes: dict[str, Any] = {"prompt": {"template": "next_item", "max_tokens": 1000}}
    if base == "pretrained":
        changes["model"] = {"base": tiny_base(tmp_path / "base"), "scratch": {}}
        changes["spelling"] = {"scheme": "title"}
    alone, packed = (
        losses_and_gradients(
            toy_recipe(train={"packing": packing, "score": score}, **changes), tmp_path / "run"
        )
        for packing in (False, True)
    )
    assert packed[1] < alone[1]
    assert packed[0] == pytest.approx(alone[0], rel=1e-5)
    assert len(packed[2]) == len(alone[2])
    for mine, theirs in zip(packed[2], alone[2], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("score", ["lm", "catalog"])
def test_a_packed_mixture_teaches_what_single_rows_teach(tmp_path: Path, score: str) -> None:
    alone, packed = (
        losses_and_gradients(
            toy_recipe(
                prompt={"max_tokens": 300},
                tasks=EVERY_TASK,
                spelling={"scheme": "semantic", "sources": ["cooccurrence"], "codes": 4},
                train={"packing": packing, "score": score},
            ),
            tmp_path / "run",
        )
        for packing in (False, True)
    )
    assert packed[1] < alone[1]
    assert packed[0] == pytest.approx(alone[0], rel=1e-5)
    for mine, theirs in zip(packed[2], alone[2], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def test_a_packed_run_learns(tmp_path: Path) -> None:
    train_table = {"packing": True, "max_steps": 60, "batch_size": 2}
    recipe = toy_recipe(
        prompt={"template": "next_item", "max_tokens": 256},
        train=train_table,
        validation={"every_steps": 20},
    )
    assert Bundle.load(train(recipe, toy_dataset(), tmp_path)).manifest.metrics["ndcg@10"] > 0.6


def test_refuses_what_packing_drops() -> None:
    with pytest.raises(ConfigError, match="packing goes without group_by_length"):
        toy_recipe(train={"packing": True, "group_by_length": True})

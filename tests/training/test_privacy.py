import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from opacus.accountants import RDPAccountant
from scipy.stats import norm

from rec_gen.bundle import Bundle
from rec_gen.errors import ConfigError, MissingPackageError
from rec_gen.manifest import Manifest, read_manifest
from rec_gen.privacy import Privacy
from rec_gen.templates import Template
from tests.toy import tiny_base, toy_dataset, toy_recipe
from training.compress import compress
from training.compress_config import CompressConfig
from training.mixture import training_rows
from training.privacy import plan, refuse_uncounted, spent
from training.private_trainer import PrivateTrainer
from training.ranking import validation_examples
from training.recipe import Recipe
from training.refine import refine
from training.refine_config import RefineConfig
from training.run_folder import CHECKPOINTS
from training.setup import prepare_materials
from training.sft import sft_trainer, train, untrained_bundle

PRIVATE = {"epsilon": 1.0}
BUDGET = Privacy(
    epsilon=1.0, delta=1e-3, users=9, sample_rate=0.1, noise_multiplier=1.0,
    clip_norm=1.0, steps=5, accountant="prv",
)  # fmt: skip


def make_trainer(recipe: Recipe, folder: Path) -> PrivateTrainer:
    dataset = toy_dataset()
    template = Template.load(recipe.prompt.template)
    materials = prepare_materials(recipe, dataset, template)
    bundle = untrained_bundle(recipe, dataset, template, materials)
    held = validation_examples(dataset, recipe.validation, recipe.seed)
    trainer = sft_trainer(recipe, dataset, bundle, folder, held, materials.new_tokens)
    assert isinstance(trainer, PrivateTrainer)
    trainer.create_optimizer()
    return trainer


@pytest.mark.parametrize(("score", "tied"), [("lm", True), ("catalog", False)])
def test_sums_up_the_clipped_gradients_of_single_users(
    tmp_path: Path, score: str, tied: bool
) -> None:
    recipe = toy_recipe(
        prompt={"template": "next_item", "max_tokens": 512},
        model={"base": tiny_base(tmp_path / "base", tied=tied), "adapter": "lora", "dropout": 0.0},
        train={"score": score},
        privacy={**PRIVATE, "clip_norm": 0.7},
    )
    trainer = make_trainer(recipe, tmp_path / "run")
    rows = trainer.train_dataset
    batch = trainer.data_collator([rows[user] for user in range(5)])
    expected = [torch.zeros_like(parameter) for parameter in trainer._private.params]
    norms = []
    for user in range(5):
        trainer.model.zero_grad()
        trainer.model.train()
        trainer.compute_loss(trainer.model, trainer.data_collator([rows[user]])).backward()
        gradients = [parameter.grad.clone() for parameter in trainer._private.params]
        norm = torch.sqrt(sum(((each**2).sum() for each in gradients), torch.zeros(())))
        norms.append(float(norm))
        for total, each in zip(expected, gradients, strict=True):
            total += each * min(1.0, 0.7 / float(norm))
    assert max(norms) > 0.7  # so that something was cut
    trainer.training_step(trainer.model, batch)
    trainer._private.clip_and_accumulate()
    for parameter, total in zip(trainer._private.params, expected, strict=True):
        torch.testing.assert_close(parameter.summed_grad, total, rtol=1e-3, atol=1e-5)


def test_an_empty_batch_is_a_step_of_noise_alone(tmp_path: Path) -> None:
    trainer = make_trainer(toy_recipe(privacy=PRIVATE), tmp_path)
    before = [parameter.detach().clone() for parameter in trainer._private.params]
    assert trainer.training_step(trainer.model, trainer._collate([])) == 0
    trainer._private.step()
    noise = torch.cat([parameter.grad.flatten() for parameter in trainer._private.params])
    budget = trainer._budget
    deviation = budget.noise_multiplier * budget.clip_norm / 8
    assert noise.std() == pytest.approx(deviation, rel=0.05)
    after = trainer._private.params
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_draws_each_user_with_the_sampling_rate_and_otherwise_each_time(tmp_path: Path) -> None:
    trainer = make_trainer(toy_recipe(privacy=PRIVATE), tmp_path)
    loader: Any = trainer.get_train_dataloader()
    sampler = loader.batch_sampler
    draws = [batch for _ in range(200) for batch in sampler]
    drawn = np.bincount([user for batch in draws for user in batch], minlength=24) / len(draws)
    assert drawn == pytest.approx(np.full(24, 1 / 3), abs=0.1)
    assert len({len(batch) for batch in draws}) > 1
    other: Any = trainer.get_train_dataloader()
    assert [batch for _ in range(5) for batch in other.batch_sampler] != draws[:15]


def test_a_bundle_says_what_it_spent_and_nothing_of_held_out_interactions(
    tmp_path: Path,
) -> None:
    model = {"base": tiny_base(tmp_path / "base"), "adapter": "lora"}
    prompt = {"template": "next_item", "max_tokens": 512}
    recipe = toy_recipe(model=model, prompt=prompt, privacy=PRIVATE)
    folder = train(recipe, toy_dataset(), tmp_path / "run")
    bundle = Bundle.load(folder)
    privacy = bundle.manifest.privacy
    assert privacy is not None
    assert (privacy.users, privacy.steps, privacy.delta) == (24, 6, 0.01)
    assert privacy.sample_rate == pytest.approx(8 / 24)
    assert 0.98 < privacy.epsilon <= 1
    assert not bundle.manifest.metrics
    assert not bundle.manifest.calibration
    assert bundle.prior is None
    assert "privacy: epsilon 0.9" in str(privacy)
    for stage in (
        lambda: refine(bundle, RefineConfig(method="dpo"), toy_dataset(), tmp_path / "refined"),
        lambda: compress(
            bundle, CompressConfig(weights="bfloat16"), toy_dataset(), tmp_path / "small"
        ),
    ):
        with pytest.raises(ConfigError, match=r"'toy' is private: .* train its recipe"):
            stage()


def test_a_resumed_run_counts_all_steps_and_draws_other_noise(tmp_path: Path) -> None:
    # so few users a step that some steps read none
    recipe = toy_recipe(privacy=PRIVATE, train={"batch_size": 1})
    trainer = make_trainer(recipe, tmp_path)
    trainer.train()
    first = trainer.spent()
    assert first.steps == 6
    again = make_trainer(recipe, tmp_path)
    again.train(resume_from_checkpoint=str(tmp_path / CHECKPOINTS / "checkpoint-3"))
    assert again.spent() == first
    pairs = zip(trainer._private.params, again._private.params, strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)


def test_one_row_a_user_whatever_the_length() -> None:
    dataset = toy_dataset(length=60)
    rows = {}
    for privacy in (None, PRIVATE):
        recipe = toy_recipe(prompt={"max_tokens": 20}, privacy=privacy)
        template = Template.load(recipe.prompt.template)
        materials = prepare_materials(recipe, dataset, template)
        bundle = untrained_bundle(recipe, dataset, template, materials)
        rows[privacy is None] = training_rows(recipe, dataset, bundle)
    assert len(rows[True]) > len(rows[False]) == len(dataset.users)
    assert all(row in rows[True] for row in rows[False])


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"tasks": [{"template": "item_from_title"}]}, "tasks"),
        ({"prior": {}}, "prior"),
        ({"domains": [{"name": "x", "data": {"source": "movielens-1m"}}]}, "domains"),
        ({"spelling": {"scheme": "semantic"}}, r"spelling\.sources"),
        ({"model": {"embed": ["text", "cooccurrence"]}}, r"model\.embed"),
        ({"model": {"adapter": "qlora"}}, r"model\.adapter"),
        ({"model": {"dtype": "bfloat16"}}, r"model\.dtype"),
        ({"train": {"loss": "last-item"}}, r"train\.loss"),
        ({"train": {"crops": 1}}, r"train\.crops"),
        ({"train": {"recency": 1.0, "score": "catalog"}}, r"train\.recency"),
        ({"train": {"packing": True}}, r"train\.packing"),
        ({"train": {"group_by_length": True}}, r"train\.group_by_length"),
        ({"train": {"accumulation": 2}}, r"train\.accumulation"),
    ],
)
def test_refuses_what_the_budget_does_not_count(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}: not in a private run: .* leave"):
        refuse_uncounted(toy_recipe(privacy=PRIVATE, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"batch_size": 30}}, r"train\.batch_size: 30 is more than the 24 users"),
        ({"privacy": {"delta": 0.05}}, r"privacy\.delta: 0\.05 .* less than 1 / 24"),
        (
            {"privacy": {"epsilon": 0.1, "delta": 1e-6}, "train": {"max_steps": 10_000}},
            r"privacy\.epsilon: no noise was found for 0\.1: .* lower train\.max_steps",
        ),
    ],
)
def test_refuses_a_budget_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    recipe = toy_recipe(**{**changes, "privacy": {**PRIVATE, **changes.get("privacy", {})}})
    with pytest.raises(ConfigError, match=message):
        plan(recipe, 24)


def test_says_which_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opacus.accountants.utils", None)
    with pytest.raises(MissingPackageError, match=r"'opacus.*rec_gen\[private\]"):
        plan(toy_recipe(privacy={"epsilon": 3.0}), 24)


def test_the_noise_is_the_least_and_fewer_steps_spend_less() -> None:
    budget = plan(toy_recipe(privacy=PRIVATE, train={"max_steps": 50}), 1000)
    assert budget.delta == 1e-4
    assert 0.98 < budget.epsilon <= 1
    accountant = RDPAccountant()  # another way of counting, and a looser bound
    accountant.history = [(budget.noise_multiplier, budget.sample_rate, 50)]
    assert budget.epsilon < accountant.get_epsilon(delta=1e-4)
    assert spent(budget, 10).epsilon < budget.epsilon


@pytest.mark.parametrize(("noise", "steps"), [(1.0, 1), (5.0, 20)])
def test_counts_as_the_exact_curve_of_the_gaussian_mechanism(noise: float, steps: int) -> None:
    """Where each step reads all users: Balle and Wang, 2018."""
    budget = BUDGET.model_copy(update={"sample_rate": 1.0, "noise_multiplier": noise})
    mu = steps**0.5 / noise

    def failure(epsilon: float) -> float:
        tails = norm.cdf(mu / 2 - epsilon / mu), norm.cdf(-mu / 2 - epsilon / mu)
        return float(tails[0] - np.exp(epsilon) * tails[1])

    epsilon = spent(budget, steps).epsilon
    assert failure(epsilon) <= budget.delta < failure(epsilon - 0.03)


def test_a_manifest_from_before_keeps_its_seal(whole: Path) -> None:
    manifest = read_manifest(whole)
    without = manifest.model_dump(exclude={"privacy"})
    assert Manifest.model_validate(without).seal().digest == manifest.digest
    assert manifest.model_copy(update={"privacy": BUDGET}).seal().digest != manifest.digest

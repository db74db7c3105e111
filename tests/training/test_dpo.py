import math
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from rec_gen.bundle import Bundle
from tests.toy import toy_dataset
from training.dpo import PreferenceTrainer, SoftmaxCollator
from training.examples import each_target
from training.negatives import preferences
from training.reference_adapter import complete_reference, unfreeze_adapter
from training.refine_config import RefineConfig
from training.refine_trainers import dpo_trainer


def trainer_of(bundle: Bundle, folder: Path, **options: Any) -> PreferenceTrainer:
    config = RefineConfig(batch_size=4, max_steps=1, **options)
    examples = list(each_target(toy_dataset().sequences()))[:8]
    unfreeze_adapter(bundle.model)
    trainer = dpo_trainer(bundle, config, examples, folder, exclude_seen=True)
    complete_reference(bundle.model)
    return trainer


def first_loss(trainer: PreferenceTrainer) -> float:
    batch = next(iter(trainer.get_train_dataloader()))
    return float(trainer.compute_loss(trainer.model, batch).detach())


def disturb(model: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize(("method", "items"), [("dpo", 2), ("softmax-dpo", 4)])
def test_the_reference_is_the_model_at_the_start(
    whole: Path, tmp_path: Path, method: str, items: int
) -> None:
    trainer = trainer_of(Bundle.load(whole), tmp_path, method=method, negatives=3)
    assert first_loss(trainer) == pytest.approx(math.log(items), abs=1e-6)


@pytest.mark.parametrize(("method", "items"), [("dpo", 2), ("softmax-dpo", 4)])
def test_the_reference_of_an_adapter_knows_its_trained_tokens(
    adapted: Path, tmp_path: Path, method: str, items: int
) -> None:
    trainer = trainer_of(Bundle.load(adapted), tmp_path, method=method, negatives=3)
    assert first_loss(trainer) == pytest.approx(math.log(items), abs=1e-6)


def test_training_leaves_the_reference_alone(adapted: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(adapted)
    trainer = trainer_of(bundle, tmp_path, method="dpo", warmup_steps=0, learning_rate=0.1)
    trainer.rank = lambda: {"ndcg@10": 0.0}

    def weights(adapter: str) -> dict[str, torch.Tensor]:
        named = bundle.model.named_parameters()
        return {name: p.detach().clone() for name, p in named if f".{adapter}" in name}

    before = {adapter: weights(adapter) for adapter in ("ref", "default")}
    trainer.train()
    assert all(torch.equal(before["ref"][name], p) for name, p in weights("ref").items())
    moved = [name for name, p in weights("default").items() if not p.equal(before["default"][name])]
    for kind in ("trainable_tokens_delta", "lora_B"):
        assert any(kind in name for name in moved)


def test_softmax_against_one_negative_is_dpo(whole: Path, tmp_path: Path) -> None:
    losses = []
    for method in ("dpo", "softmax-dpo"):
        bundle = Bundle.load(whole)
        trainer = trainer_of(bundle, tmp_path, method=method, negatives=1, beta=0.7)
        disturb(bundle.model)
        losses.append(first_loss(trainer))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert abs(losses[0] - math.log(2)) > 0.01


def test_softmax_is_the_formula_of_the_paper(whole: Path, tmp_path: Path) -> None:
    start, bundle = Bundle.load(whole), Bundle.load(whole)
    trainer = trainer_of(bundle, tmp_path, method="softmax-dpo", negatives=3, beta=0.7)
    disturb(bundle.model)
    examples = list(each_target(toy_dataset().sequences()))[:8]
    found = list(preferences(start, examples, 3, exclude_seen=True))
    pad_token_id = cast(int, start.tokenizer.pad_token_id)
    rows = [
        {"prompt_ids": p.prompt, "chosen_ids": p.chosen, "rejected_ids": p.rejected} for p in found
    ]
    loss = float(trainer.compute_loss(trainer.model, SoftmaxCollator(pad_token_id)(rows)))

    def log_prob(model: Any, prompt: list[int], item: list[int]) -> float:
        with torch.no_grad():
            logits = model(torch.tensor([prompt + item])).logits[0].log_softmax(-1)
        places = range(len(prompt) - 1, len(prompt) + len(item) - 1)
        return sum(float(logits[place, token]) for place, token in zip(places, item, strict=True))

    def ratio(prompt: list[int], item: list[int]) -> float:
        new = log_prob(bundle.model, prompt, item)
        return 0.7 * (new - log_prob(start.model, prompt, item))

    wanted = [
        math.log1p(
            sum(math.exp(ratio(p.prompt, item) - ratio(p.prompt, p.chosen)) for item in p.rejected)
        )
        for p in found
    ]
    assert loss == pytest.approx(sum(wanted) / len(wanted), abs=1e-5)


def test_batches_hold_each_item_after_its_prompt() -> None:
    rows = [
        {"prompt_ids": [5, 6], "chosen_ids": [1, 2], "rejected_ids": [[3], [4, 4, 4]]},
        {"prompt_ids": [7], "chosen_ids": [3], "rejected_ids": [[1, 2], [4, 4, 4]]},
    ]
    batch = SoftmaxCollator(pad_token_id=0)(rows)
    assert batch["input_ids"].tolist() == [
        [5, 6, 1, 2, 0],
        [5, 6, 3, 0, 0],
        [5, 6, 4, 4, 4],
        [7, 3, 0, 0, 0],
        [7, 1, 2, 0, 0],
        [7, 4, 4, 4, 0],
    ]
    assert batch["completion_mask"].sum(dim=1).tolist() == [2, 1, 3, 1, 2, 3]
    assert batch["attention_mask"].sum(dim=1).tolist() == [4, 3, 5, 2, 3, 4]
    answers = batch["input_ids"][batch["completion_mask"].bool()]
    assert answers.tolist() == [1, 2, 3, 4, 4, 4, 3, 1, 2, 4, 4, 4]

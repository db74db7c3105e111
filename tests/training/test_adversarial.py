from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rec_gen.bundle import Bundle
from rec_gen.testing import tiny_model
from tests.toy import tiny_base, toy_dataset, toy_recipe
from training.adversarial import perturbed, worst_perturbation
from training.composition import compose, composed
from training.sft import train

IDS = torch.tensor([[1, 20, 22, 21], [3, 21, 20, 22]])


@given(seed=st.integers(0, 1000), size=st.floats(0.01, 1))
def test_no_change_of_that_length_raises_a_linear_loss_more(seed: int, size: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    embedding = nn.Embedding(24, 6)
    slopes = torch.randn(2, 4, 6, generator=generator)
    change = worst_perturbation(embedding, lambda: (embedding(IDS) * slopes).sum(), size)
    changed = (change != 0).any(dim=-1).all(dim=1, keepdim=True)
    lengths = size * embedding(IDS).norm(dim=-1) * changed
    torch.testing.assert_close(change.norm(dim=-1), lengths)
    other = nn.functional.normalize(torch.randn(2, 4, 6, generator=generator), dim=-1)
    assert (slopes * change).sum() >= (slopes * other * lengths[..., None]).sum()


def test_a_small_change_raises_a_models_loss_and_nothing_stays_behind() -> None:
    model = tiny_model(24)
    embedding = model.get_input_embeddings()

    def loss() -> torch.Tensor:
        found: torch.Tensor = model(input_ids=IDS, labels=IDS).loss
        return found

    before = loss()
    change = torch.zeros(1)
    while not change.any():  # it is drawn which rows are changed
        change = worst_perturbation(embedding, loss, 0.05)
    assert all(parameter.grad is None for parameter in model.parameters())
    with perturbed(embedding, change):
        assert loss() > before
    with perturbed(embedding, -change):
        assert loss() < before
    assert torch.equal(loss(), before)


def test_composed_rows_still_learn() -> None:
    model = tiny_model(24, tie_word_embeddings=True).train()
    vectors = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).numpy()
    spellings = [torch.tensor(ids).int().numpy() for ids in ([20, 22], [20, 23], [21])]
    compose(model, spellings, [vectors], range(20, 24), 0.2)
    embedding = model.get_input_embeddings()
    with composed(model):

        def loss() -> torch.Tensor:
            found: torch.Tensor = model(input_ids=IDS, labels=IDS).loss
            return found

        with perturbed(embedding, worst_perturbation(embedding, loss, 0.1)):
            loss().backward()  # type: ignore[no-untyped-call]
    for parameter in model.parameters():
        assert parameter.grad is not None


CASES: dict[str, dict[str, Any]] = {
    "lm": {},
    "catalog": {
        "train": {"score": "catalog"},
        "model": {"adapter": "lora", "embed": ["cooccurrence"]},
        "spelling": {"scheme": "item"},
    },
}


@pytest.mark.parametrize("case", CASES)
def test_whole_models_and_composed_adapters_are_trained(case: str, tmp_path: Path) -> None:
    changes = {key: dict(value) for key, value in CASES[case].items()}
    if case == "catalog":
        changes["model"]["base"] = tiny_base(tmp_path / "base")
    weights = []
    for adversarial in (None, 0.2):
        changes["train"] = {**changes.get("train", {}), "adversarial": adversarial, "max_steps": 2}
        if adversarial is None:
            del changes["train"]["adversarial"]
        folder = train(toy_recipe(**changes), toy_dataset(), tmp_path / str(adversarial))
        model = Bundle.load(folder).model
        weights.append(torch.cat([each.flatten() for each in model.parameters()]))
    assert torch.isfinite(weights[1]).all()
    assert not torch.equal(*weights)

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Split
from rec_gen.errors import ConfigError, DataError
from rec_gen.templates import Template
from rec_gen.testing import tiny_model
from tests.toy import tiny_base, toy_dataset, toy_recipe
from tests.training.launched import Death, run
from training.composition import NAME, compose, composed, fold
from training.ranking import rank_examples
from training.run_folder import last_checkpoint
from training.setup import prepare_materials
from training.sft import train

TEXT = {"embed": ["text"]}
DROPOUT = {"dropout": 0.1, "item_dropout": 0.1, "embedding_dropout": 0.1}
VECTORS = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
NEW = range(20, 24)
SPELLINGS = [np.array(ids, np.int32) for ids in ([20, 22], [20, 23], [21])]


def tied_model() -> PreTrainedModel:
    return tiny_model(24, tie_word_embeddings=True)


@pytest.mark.parametrize("tied", [True, False])
def test_a_composed_model_is_the_folded_one(tied: bool) -> None:
    model = tiny_model(24, tie_word_embeddings=tied)
    compose(model, SPELLINGS, [VECTORS], NEW, 0.5)
    ids = torch.tensor([[1, 20, 22, 21]])
    plain = model(ids).logits
    with composed(model):
        inside = model(ids).logits
    assert not torch.allclose(plain, inside)
    torch.testing.assert_close(model(ids).logits, plain)
    fold(model)
    torch.testing.assert_close(model(ids).logits, inside)
    assert not any(NAME in name for name in model.state_dict())


def test_both_parts_learn_and_only_new_tokens_have_text() -> None:
    model = tied_model()
    compose(model, SPELLINGS, [VECTORS], NEW, 0.0)
    free = model.get_input_embeddings().weight
    with composed(model):
        table = model.get_input_embeddings().weight
        assert model.get_output_embeddings().weight is table
        model(
            torch.tensor([[1, 20, 22, 21]]), labels=torch.tensor([[1, 20, 22, 21]])
        ).loss.backward()
    assert torch.equal(table[:20], free[:20])
    assert not torch.equal(table[20:], free[20:])
    assert free.grad is not None
    assert getattr(model, NAME).projections[0].weight.grad is not None


def test_a_dropped_free_part_leaves_the_text() -> None:
    model = tied_model().train()
    compose(model, SPELLINGS, [VECTORS], NEW, 0.999)
    composition = getattr(model, NAME)
    rows = composition(model.get_input_embeddings().weight[20:], 0)
    torch.testing.assert_close(rows, composition.projections[0](composition.vectors))


def test_a_dropped_free_part_of_a_pretrained_model_leaves_how_its_row_began() -> None:
    model = tied_model().train()
    begun = model.get_input_embeddings().weight[20:].detach().clone()
    compose(model, SPELLINGS, [VECTORS], NEW, 0.999, pretrained=True)
    torch.testing.assert_close(getattr(model, NAME)(begun + 1, 0), begun)


def test_a_shared_token_has_the_mean_of_its_items() -> None:
    model = tied_model()
    compose(model, SPELLINGS, [VECTORS], NEW, 0.0)
    vectors = getattr(model, NAME).vectors
    torch.testing.assert_close(vectors[0], (vectors[2] + vectors[3]) / 2)


@pytest.mark.parametrize("scheme", ["item", "semantic"])
def test_a_run_ends_in_a_plain_bundle(tmp_path: Path, scheme: str) -> None:
    recipe = toy_recipe(
        model={"embed": ["text", "cooccurrence"]},
        spelling={"scheme": scheme, "sources": ["text"], "levels": 2, "codes": 4},
        train={
            "max_steps": 40,
            "score": "catalog",
            "dropout": 0.1,
            "item_dropout": 0.1,
            "embedding_dropout": 0.1,
        },
        validation={"every_steps": 20},
    )
    bundle = Bundle.load(train(recipe, toy_dataset(), tmp_path))
    assert bundle.manifest.score == "catalog"
    assert not any(NAME in name for name in bundle.model.state_dict())
    ranked = rank_examples(bundle, list(toy_dataset().examples(Split.VALID)), 10, True)
    assert ranked["ndcg@10"] == pytest.approx(bundle.manifest.metrics["ndcg@10"])


def test_pretrained_tokens_begin_with_their_text(tmp_path: Path) -> None:
    recipe = toy_recipe(model={"base": tiny_base(tmp_path), "adapter": "lora", "begin": "text"})
    dataset = toy_dataset()
    materials = prepare_materials(recipe, dataset, Template.load("sequence"))
    rows = materials.model.get_input_embeddings().weight[list(materials.new_tokens)]
    assert rows.isfinite().all()
    near = torch.nn.functional.cosine_similarity(rows[:1], rows)
    assert near.min() > 0.5  # all titles begin with the same word


@pytest.mark.parametrize(
    ("adapter", "tied"), [("lora", True), ("lora", False), ("qlora", True), ("none", True)]
)
def test_pretrained_tokens_learn_both_parts(tmp_path: Path, adapter: str, tied: bool) -> None:
    base = tiny_base(tmp_path / "base", tied=tied)
    model = {"base": base, "adapter": adapter, "begin": "text", "embed": ["cooccurrence"]}
    recipe = toy_recipe(
        model={**model, "free_dropout": 0.5},
        train={"max_steps": 20, "learning_rate": 0.02},
        validation={"every_steps": 10},
    )
    dataset = toy_dataset()
    materials = prepare_materials(recipe, dataset, Template.load("sequence"))
    adapted, ids = materials.model.eval(), torch.tensor([list(materials.new_tokens)])
    plain = adapted(ids).logits
    composition = getattr(adapted, NAME)
    with composed(adapted):
        torch.testing.assert_close(adapted(ids).logits, plain)  # a projection of zero at first
        for projection in composition.projections:
            torch.nn.init.normal_(projection.weight, std=0.3)
    with composed(adapted):
        inside = adapted(ids).logits
        adapted(ids, labels=ids).loss.backward()
    assert not torch.allclose(inside, plain, atol=1e-2)
    assert len(composition.projections) == (1 if tied else 2)
    assert all(projection.weight.grad.any() for projection in composition.projections)
    fold(adapted)
    torch.testing.assert_close(adapted(ids).logits, inside)

    bundle = Bundle.load(train(recipe, dataset, tmp_path / "run"))
    assert not any(NAME in name for name in bundle.model.state_dict())
    ranked = rank_examples(bundle, list(dataset.examples(Split.VALID)), 10, True)
    assert ranked["ndcg@10"] == pytest.approx(bundle.manifest.metrics["ndcg@10"])


@pytest.mark.parametrize("adapter", ["lora", "qlora"])
def test_a_killed_composed_adapter_ends_like_an_undisturbed_one(
    tmp_path: Path, adapter: str
) -> None:
    model = {"base": tiny_base(tmp_path / "base"), "adapter": adapter, "embed": ["cooccurrence"]}
    changes = {
        "model": model,
        "train": {"max_steps": 12, "learning_rate": 0.02},
        "validation": {"every_steps": 4},
    }

    def die() -> None:
        raise KeyboardInterrupt

    run(tmp_path / "whole", changes)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", changes, Death(6, die))
    assert (last_checkpoint(tmp_path / "killed") or "").endswith("checkpoint-4")
    run(tmp_path / "killed", changes)
    file = "bundle/adapter/adapter_model.safetensors"
    killed, undisturbed = (load_file(tmp_path / name / file) for name in ("killed", "whole"))
    assert killed.keys() == undisturbed.keys()
    assert all(torch.equal(killed[key], undisturbed[key]) for key in killed)


def test_says_what_text_embeddings_need(tmp_path: Path) -> None:
    dataset = toy_dataset()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"model": {"begin": "text"}}, "model.begin: a model from scratch knows no text"),
        ({"model": TEXT, "spelling": {"scheme": "title"}}, "titles have no new tokens"),
    ]
    for changes, message in cases:
        with pytest.raises(ConfigError, match=message):
            train(toy_recipe(**changes), dataset, tmp_path)
    with pytest.raises(DataError, match="no column 'brand'; it has item, title"):
        train(toy_recipe(model=TEXT, spelling={"text": ["brand"]}), dataset, tmp_path)


def test_a_source_that_says_the_same_of_every_item_is_refused() -> None:
    with pytest.raises(ConfigError, match="says the same of every item; leave it out"):
        compose(tied_model(), SPELLINGS, [VECTORS, np.ones_like(VECTORS)], NEW, 0.0)

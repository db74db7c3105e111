from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Split
from rec_gen.errors import ConfigError, DataError
from rec_gen.templates import Template
from rec_gen.testing import tiny_model
from tests.toy import SCRATCH, tiny_base, toy_dataset, toy_recipe
from training.composition import NAME, compose, composed, fold
from training.ranking import rank_examples
from training.setup import prepare_materials
from training.sft import train

TEXT = {"embed": ["text"]}
DROPOUT = {"dropout": 0.1, "item_dropout": 0.1, "embedding_dropout": 0.1}
VECTORS = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
SPELLINGS = [np.array(ids, np.int32) for ids in ([20, 22], [20, 23], [21])]


def tied_model() -> PreTrainedModel:
    return tiny_model(24, tie_word_embeddings=True)


def test_a_composed_model_is_the_folded_one() -> None:
    model = tied_model().eval()
    compose(model, SPELLINGS, [VECTORS], 20, 0.5)
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
    compose(model, SPELLINGS, [VECTORS], 20, 0.0)
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
    assert getattr(model, NAME).projection.weight.grad is not None


def test_a_dropped_free_part_leaves_the_text() -> None:
    model = tied_model().train()
    compose(model, SPELLINGS, [VECTORS], 20, 0.999)
    composition = getattr(model, NAME)
    table = composition(model.get_input_embeddings().weight)
    torch.testing.assert_close(table[20:], composition.projection(composition.vectors))


def test_a_shared_token_has_the_mean_of_its_items() -> None:
    model = tied_model()
    compose(model, SPELLINGS, [VECTORS], 20, 0.0)
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
    recipe = toy_recipe(model={"base": tiny_base(tmp_path), "adapter": "lora", **TEXT})
    dataset = toy_dataset()
    materials = prepare_materials(recipe, dataset, Template.load("sequence"))
    rows = materials.model.get_input_embeddings().weight[materials.new_tokens]
    assert rows.isfinite().all()
    near = torch.nn.functional.cosine_similarity(rows[:1], rows)
    assert near.min() > 0.5  # all titles begin with the same word


def test_says_what_text_embeddings_need(tmp_path: Path) -> None:
    dataset = toy_dataset()
    untied = {**SCRATCH, "tie_word_embeddings": False}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"model": {**TEXT, "scratch": untied}}, "tie_word_embeddings = true"),
        ({"model": TEXT, "spelling": {"scheme": "title"}}, "titles have no new tokens"),
    ]
    for changes, message in cases:
        with pytest.raises(ConfigError, match=message):
            train(toy_recipe(**changes), dataset, tmp_path)
    with pytest.raises(DataError, match="no column 'brand'; it has item, title"):
        train(toy_recipe(model=TEXT, spelling={"text": ["brand"]}), dataset, tmp_path)


def test_a_source_that_says_the_same_of_every_item_is_refused() -> None:
    with pytest.raises(ConfigError, match="says the same of every item; leave it out"):
        compose(tied_model(), SPELLINGS, [VECTORS, np.ones_like(VECTORS)], 20, 0.0)

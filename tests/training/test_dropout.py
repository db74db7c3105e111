from pathlib import Path

import pytest

from rec_gen.bundle import Bundle
from rec_gen.errors import ConfigError
from rec_gen.testing import tiny_model
from tests.toy import SCRATCH, toy_dataset, toy_recipe
from training.dropout import add_dropout
from training.sft import train

OTHERS = {"gpt_neox": SCRATCH, "gpt2": {"n_layer": 1, "n_embd": 32, "n_head": 2}}


@pytest.mark.parametrize("model_type", OTHERS)
def test_other_blocks_are_trained_without_dropout(model_type: str, tmp_path: Path) -> None:
    scratch = {"model_type": model_type, **OTHERS[model_type]}
    recipe = toy_recipe(model={"scratch": scratch}, train={"embedding_dropout": 0.1})
    bundle = Bundle.load(train(recipe, toy_dataset(), tmp_path))
    assert bundle.model.config.model_type == model_type


@pytest.mark.parametrize("model_type", OTHERS)
def test_dropout_of_other_blocks_is_refused_by_its_key(model_type: str) -> None:
    with pytest.raises(ConfigError, match=f"train.dropout: finds no blocks in a '{model_type}'"):
        add_dropout(tiny_model(32, model_type=model_type), 0.0, 0.1)

"""A model out of weights that are joined and padded as vLLM joins and pads them."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from rec_gen.decoding.runtimes import SUPPORTED
from rec_gen.errors import ModelError
from rec_gen.shared_weights import shared_model
from rec_gen.testing import tiny_model

PACKED = {"qkv_proj": ["q_proj", "k_proj", "v_proj"], "gate_up_proj": ["gate_proj", "up_proj"]}


def joined(model: PreTrainedModel) -> nn.Module:
    """The weights as vLLM holds them: some layers in one, and the vocabulary padded."""
    held, parts = nn.Module(), {part: whole for whole, each in PACKED.items() for part in each}
    pieces: dict[str, list[torch.Tensor]] = {}
    for name, weight in model.named_parameters():
        block, part, kind = name.rsplit(".", 2) if name.count(".") > 1 else ("", *name.split("."))
        joined_name = f"{block}.{parts.get(part, part)}.{kind}".removeprefix(".")
        padding = weight.new_zeros(7, *weight.shape[1:])
        padded = [weight, padding] if part in {"embed_tokens", "lm_head"} else [weight]
        pieces.setdefault(joined_name, []).extend(padded)
    for name, tensors in pieces.items():
        place, (*path, kind) = held, name.split(".")
        for step in path:
            if not hasattr(place, step):
                place.add_module(step, nn.Module())
            place = place.get_submodule(step)
        place.register_parameter(kind, nn.Parameter(torch.cat(tensors).detach()))
    held.packed_modules_mapping = PACKED  # type: ignore[assignment]
    return held


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("model_type", SUPPORTED)
@torch.no_grad()
def test_computes_the_same_from_views_alone(model_type: str, tied: bool, tmp_path: Path) -> None:
    model = tiny_model(30, model_type=model_type, tie_word_embeddings=tied)
    model.save_pretrained(tmp_path)
    held = joined(model)
    shared = shared_model(tmp_path, "float32", held)
    assert shared is not None
    ids = torch.arange(20)[None]
    assert torch.equal(shared(input_ids=ids).logits, model(input_ids=ids).logits)
    memory = {weight.untyped_storage().data_ptr() for weight in held.parameters()}
    assert {weight.untyped_storage().data_ptr() for weight in shared.parameters()} <= memory


def test_packed_or_quantised_weights_cannot_be_shared(tmp_path: Path) -> None:
    model = tiny_model(30)
    model.save_pretrained(tmp_path)
    assert shared_model(tmp_path, "bfloat16", joined(model)) is None
    held = joined(model)
    held.get_submodule("model.layers.1.mlp.gate_up_proj").weight = nn.Parameter(torch.empty(0))
    assert shared_model(tmp_path, "float32", held) is None
    del held.get_submodule("model.layers.1.mlp").gate_up_proj
    assert shared_model(tmp_path, "float32", held) is None


def test_refuses_another_models_weights(tmp_path: Path) -> None:
    tiny_model(30, seed=1).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="holds other weights for"):
        shared_model(tmp_path, "float32", joined(tiny_model(30)))

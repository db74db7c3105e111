from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear4bit, modules

from rec_gen.decoding.runtimes import SUPPORTED
from rec_gen.errors import ModelError
from rec_gen.models import cast_weights, empty_model, load_model, load_quantized
from rec_gen.testing import tiny_model


@torch.inference_mode()
def logits(model: Any) -> torch.Tensor:
    ids = torch.randint(0, 32, (1, 200), generator=torch.Generator().manual_seed(0))
    found: torch.Tensor = model(ids, use_cache=False).logits
    return found


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_cast_weights_compute_what_they_compute_when_loaded(
    model_type: str, tmp_path: Path
) -> None:
    model = tiny_model(32, model_type=model_type)
    exact = logits(model)
    cast = cast_weights(model, torch.bfloat16)
    assert {weight.dtype for weight in cast.parameters()} == {torch.bfloat16}
    assert not torch.equal(logits(cast).float(), exact)
    cast.save_pretrained(tmp_path)
    assert torch.equal(logits(load_model(str(tmp_path), "bfloat16").eval()), logits(cast))


def test_weights_in_4_bits_are_never_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they would be where a CPU has AVX512-BF16."""
    monkeypatch.setattr(modules, "has_avx512bf16", lambda: True)
    tiny_model(32).save_pretrained(tmp_path / "plain")
    model = load_model(str(tmp_path / "plain"), "float32", "nf4")
    model.save_pretrained(tmp_path / "nf4", save_original_format=False)
    for loaded in (model, load_quantized(tmp_path / "nf4", "float32")):
        layers = [module for module in loaded.modules() if isinstance(module, Linear4bit)]
        assert layers
        assert not any(layer.support_avx512bf16_for_cpu for layer in layers)


@pytest.mark.parametrize("width", [32, 48, 96])
def test_any_width_is_read_and_saved_in_4_bits(width: int, tmp_path: Path) -> None:
    tiny_model(32, hidden_size=width, head_dim=width // 2).save_pretrained(tmp_path / "plain")
    model = load_model(str(tmp_path / "plain"), "float32", "nf4").eval()
    found = logits(model)
    model.save_pretrained(tmp_path / "nf4", save_original_format=False)
    assert torch.equal(logits(model), found)
    assert torch.equal(logits(load_quantized(tmp_path / "nf4", "float32").eval()), found)


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_a_model_without_weights_is_whole_once_it_has_some(tmp_path: Path, model_type: str) -> None:
    model = tiny_model(32, model_type=model_type)
    model.save_pretrained(tmp_path)
    nowhere = empty_model(str(tmp_path), "float32")
    assert {weight.device.type for weight in nowhere.parameters()} == {"meta"}
    empty = empty_model(str(tmp_path), "float32", "cpu")
    empty.load_state_dict(model.state_dict())
    assert torch.equal(logits(empty), logits(model))


def test_refuses_a_model_that_is_not_there() -> None:
    with pytest.raises(ModelError, match="not a local folder"):
        empty_model("nowhere", "float32")

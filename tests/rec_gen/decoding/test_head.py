from typing import Any

import pytest
import torch

from rec_gen.decoding.head import CHUNK, Head
from rec_gen.testing import tiny_model

HEADS: dict[str, dict[str, Any]] = {
    "cohere": {"logit_scale": 0.25},
    "gemma2": {"final_logit_softcapping": 2.0},
    "granite": {"logits_scaling": 4.0},
    "phi": {},
    "qwen3": {},
}


@pytest.mark.parametrize("model_type", HEADS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_head_scales_caps_and_shifts_as_its_model_does(
    model_type: str, dtype: torch.dtype
) -> None:
    model = tiny_model(CHUNK + 100, model_type=model_type, **HEADS[model_type]).to(dtype)
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.inference_mode():
        if model_type == "phi":
            model.lm_head.bias.normal_()
        expected = model(ids).logits[0].float()
        hidden = model.base_model(ids).last_hidden_state[0]
        head = Head(model)
        places, tokens = torch.tensor([0, 3, 3, 1]), torch.tensor([5, 5, CHUNK + 99, 0])
        close = 1e-4 if dtype == torch.float32 else 0.1
        torch.testing.assert_close(
            head.logits(hidden, places, tokens), expected[places, tokens], atol=close, rtol=close
        )
        torch.testing.assert_close(
            head.normalizers(hidden), expected.logsumexp(1), atol=close, rtol=close
        )


@pytest.mark.parametrize("bias", [-torch.inf, -1e9, -1e4, 1e4])
def test_a_normalizer_bears_extreme_logits(bias: float) -> None:
    model = tiny_model(9, model_type="phi")
    with torch.inference_mode():
        model.lm_head.bias[0] = bias
        logits = model(torch.tensor([[1, 2]])).logits[0]
        hidden = model.base_model(torch.tensor([[1, 2]])).last_hidden_state[0]
        torch.testing.assert_close(Head(model).normalizers(hidden), logits.logsumexp(1))

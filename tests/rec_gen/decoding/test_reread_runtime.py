from typing import Any

import torch

from rec_gen.decoding.reread_runtime import TOKENS, RereadRuntime
from rec_gen.testing import tiny_model


def test_a_wide_beam_is_read_in_parts() -> None:
    model = tiny_model(20, model_type="gpt2", n_embd=32, n_layer=1, n_head=2)
    sizes = []

    def measure(_: torch.nn.Module, __: object, options: dict[str, Any]) -> None:
        sizes.append(options["input_ids"].numel())

    model.register_forward_pre_hook(measure, with_kwargs=True)
    prompts = [[1] * 700, [2], [3] * 500]
    session = RereadRuntime(model).read(prompts)
    parents = torch.arange(3).repeat(3)
    found = session.extend(parents, torch.arange(18), torch.full_like(parents, 2)).hidden
    assert len(sizes) > 2
    assert max(sizes) <= TOKENS
    for run, parent in enumerate(parents.tolist()):
        ids = torch.tensor([[*prompts[parent], 2 * run, 2 * run + 1]])
        plain = model(input_ids=ids).logits[0, -2:]
        torch.testing.assert_close(found[2 * run : 2 * run + 2], plain, atol=1e-4, rtol=1e-4)

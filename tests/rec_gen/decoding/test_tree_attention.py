from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftConfig, PromptTuningConfig, get_peft_model

from rec_gen.decoding.runtimes import SUPPORTED
from rec_gen.decoding.token_tree import NOWHERE, ROWS, TokenTree
from rec_gen.decoding.transformers_runtime import TransformersRuntime
from rec_gen.decoding.tree_attention import views_of
from rec_gen.errors import ModelError
from rec_gen.testing import tiny_model

WINDOWED = ("gemma3_text", "mistral")


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_a_model_that_was_taken_over_works_as_before(model_type: str, tmp_path: Path) -> None:
    settings = {"sliding_window": 4} if model_type in WINDOWED else {}
    model = tiny_model(20, model_type=model_type, **settings)
    inputs = {
        "input_ids": torch.randint(0, 20, (2, 9), generator=torch.Generator().manual_seed(0)),
        "attention_mask": torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1], [1] * 9]),
    }
    before = model(**inputs).logits
    TransformersRuntime(model).read([[1, 2, 3]])
    assert torch.equal(model(**inputs).logits, before)
    model.save_pretrained(tmp_path)
    assert "rec_gen" not in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_a_tree_gives_the_states_of_plain_sequences(model_type: str) -> None:
    settings = {"sliding_window": 4} if model_type in WINDOWED else {}
    model = tiny_model(20, model_type=model_type, **settings)
    prompts = [[1, 2, 3, 4, 5, 6], [1, 2, 3, 9], [1, 2, 3, 4, 5, 6, 7, 8]]
    session = TransformersRuntime(model).read(prompts)
    start = session.start()
    first = session.extend(start.slots, torch.tensor([5, 6, 7, 8]), torch.tensor([1, 2, 1]))
    # below the second token, below the first, and below the prompt's end
    parents = torch.stack([first.slots[1], first.slots[0], start.slots[2]])
    second = session.extend(parents, torch.tensor([1, 2, 3, 4]), torch.tensor([2, 1, 1]))
    read = {
        (*prompts[0], 5): first.hidden[0],
        (*prompts[1], 6): first.hidden[1],
        (*prompts[1], 6, 7): first.hidden[2],
        (*prompts[2], 8): first.hidden[3],
        (*prompts[1], 6, 1): second.hidden[0],
        (*prompts[1], 6, 1, 2): second.hidden[1],
        (*prompts[0], 5, 3): second.hidden[2],
        (*prompts[2], 4): second.hidden[3],
    }
    for tokens, state in read.items():
        plain = model.base_model(torch.tensor([tokens])).last_hidden_state[0, -1]
        torch.testing.assert_close(state, plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "lm_head"]),
        PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2),
    ],
    ids=["head", "prompt"],
)
def test_an_adapter_that_no_search_would_see_is_refused(config: PeftConfig) -> None:
    with pytest.raises(ModelError, match="its adapter adds virtual tokens or a path beside"):
        TransformersRuntime(get_peft_model(tiny_model(20), config))


def test_an_adapter_that_was_merged_into_the_head_is_read() -> None:
    config = LoraConfig(
        task_type="CAUSAL_LM", target_modules=["q_proj", "lm_head"], init_lora_weights=False
    )
    model = get_peft_model(tiny_model(20), config).eval()
    ids = torch.tensor([[1, 2, 3]])
    expected = model(ids).logits[0, -1].log_softmax(0)
    model.merge_adapter()
    session = TransformersRuntime(model).read(ids.tolist())
    states, tokens = session.start().hidden, torch.arange(20)
    found = session.logits(states, torch.zeros_like(tokens), tokens) - session.normalizers(states)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_long_prompt_is_masked_only_where_tokens_differ() -> None:
    tree = TokenTree()
    slots, blocks = tree.grow([NOWHERE], [20 * ROWS], prompts=True)
    views = views_of(blocks, tree.depths, slots.start, None, torch.zeros(1))
    assert views[-1].columns.shape[1] == 20 * ROWS
    assert max(view.masks[None].added.shape[-1] for view in views) < 2 * ROWS

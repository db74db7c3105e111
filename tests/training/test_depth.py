from typing import Any

import pytest
import torch

from rec_gen.decoding.runtimes import SUPPORTED
from rec_gen.errors import ConfigError
from rec_gen.testing import tiny_model
from training.depth import angular_distances, drop_layers

SETTINGS: dict[str, dict[str, Any]] = {
    "gemma3_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 3,
        "sliding_window": 4,
    },
    "mistral": {"sliding_window": 4},
    "qwen2": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 3},
    "qwen3": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 3},
}
PROMPTS = [[1, 2, 3, 4, 5, 6, 7, 8], [9, 8, 7]]


def deep_model(model_type: str) -> Any:
    settings = {"num_hidden_layers": 6, **SETTINGS.get(model_type, {})}
    return tiny_model(32, model_type=model_type, **settings)


def silence(layer: torch.nn.Module) -> None:
    """Make a layer the identity: what it adds to the residual stream is zero."""
    for name, weight in layer.named_parameters():
        if "o_proj" in name or "down_proj" in name:
            torch.nn.init.zeros_(weight)


@torch.inference_mode()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(torch.tensor(PROMPTS[:1]), use_cache=False).logits
    return found


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_layers_that_do_nothing_are_found_and_can_go(model_type: str) -> None:
    model = deep_model(model_type)
    for layer in model.base_model.layers[2:4]:
        silence(layer)
    distances = angular_distances(model, PROMPTS, 2)
    assert len(distances) == 5
    assert min(range(5), key=distances.__getitem__) == 2
    assert distances[2] < 1e-3 < min(distances[:2] + distances[3:])
    shallow = drop_layers(model, 2, 2)
    assert torch.equal(logits(shallow), logits(model))
    other = drop_layers(model, 1, 2)
    assert not torch.allclose(logits(other), logits(model), atol=1e-3)


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_the_rest_of_a_model_stays_as_it_is(model_type: str) -> None:
    model = deep_model(model_type)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    shallow = drop_layers(model, 3, 2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.config.num_hidden_layers == 6
    assert shallow.config.num_hidden_layers == len(shallow.base_model.layers) == 4
    for new, old in enumerate((0, 1, 2, 5)):
        ours, theirs = shallow.base_model.layers[new], model.base_model.layers[old]
        assert ours.self_attn.layer_idx == new
        weights = zip(ours.parameters(), theirs.parameters(), strict=True)
        assert all(torch.equal(mine, other) for mine, other in weights)
        window = getattr(theirs.self_attn, "sliding_window", None)
        assert getattr(ours.self_attn, "sliding_window", None) == window
    tied = shallow.get_input_embeddings().weight is shallow.get_output_embeddings().weight
    assert tied == model.config.tie_word_embeddings


def test_a_distance_counts_the_last_token_before_the_final_norm() -> None:
    model = deep_model("llama")
    (distance,) = angular_distances(model, [[1, 2, 3]], 5)[:1]
    states = model(torch.tensor([[1, 2, 3]]), output_hidden_states=True).hidden_states
    cosine = torch.cosine_similarity(states[0][0, -1].double(), states[5][0, -1].double(), dim=0)
    assert distance == pytest.approx(cosine.arccos().item() / torch.pi, abs=1e-5)


@pytest.mark.parametrize(("first", "count"), [(0, 6), (5, 2), (-1, 2), (2, 0)])
def test_refuses_layers_that_are_not_there(first: int, count: int) -> None:
    with pytest.raises(ConfigError, match=f"cannot drop {count} from layer {first} on of 6"):
        drop_layers(deep_model("llama"), first, count)


def test_refuses_an_unknown_architecture() -> None:
    model = tiny_model(32, model_type="gpt_neox", intermediate_size=32)
    with pytest.raises(ConfigError, match="knows no 'gpt_neox', only gemma3_text, llama"):
        drop_layers(model, 0, 1)

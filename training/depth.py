"""Dropping those neighbouring layers of a model that change what passes through them least.

Source: Gromov et al., "The Unreasonable Ineffectiveness of the Deeper Layers" (2024): the states
before and behind each run of layers are compared by their angle at the last token of a prompt.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from rec_gen.decoding.runtimes import SUPPORTED
from rec_gen.errors import ConfigError
from rec_gen.models import cast_weights


@torch.inference_mode()
def angular_distances(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], count: int
) -> list[float]:
    """How far each run of layers turns the state at the end of a prompt, on average.

    Args:
        model: A model of transformers, in evaluation mode.
        prompts: Token ids, at least one prompt.
        count: The length of the runs, fewer than the model has layers.

    Returns:
        For each first layer a distance from 0, the same direction, to 1, the opposite one.
    """
    layers = model.base_model.layers
    states: list[torch.Tensor] = []

    def keep(_: torch.nn.Module, args: Any, output: Any) -> None:
        before = args[0] if not states else None
        after = output[0] if isinstance(output, tuple) else output
        states.extend(state[0, -1].float() for state in (before, after) if state is not None)

    total = torch.zeros(len(layers) - count + 1, dtype=torch.float64)
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        for prompt in prompts:
            states.clear()
            model.base_model(torch.tensor([prompt], device=model.device), use_cache=False)
            stacked = torch.stack(states).double()
            cosines = torch.cosine_similarity(stacked[:-count], stacked[count:])
            total += cosines.clamp(-1, 1).arccos().cpu() / torch.pi
    finally:
        for hook in hooks:
            hook.remove()
    return (total / len(prompts)).tolist()


def refuse_unsupported(model_type: str) -> None:
    """Refuse an architecture whose layers cannot be dropped.

    Raises:
        ConfigError: It is one.
    """
    if model_type not in SUPPORTED:
        known = ", ".join(SUPPORTED)
        raise ConfigError(f"drop_layers: knows no '{model_type}', only {known}")


def drop_layers(model: PreTrainedModel, first: int, count: int) -> PreTrainedModel:
    """A copy of a model without some of its layers.

    transformers builds the shallower model from the shallower configuration, so that indices,
    windows and kinds of layers are its own.

    Args:
        model: A causal language model of a supported architecture, whole and not quantised.
        first: The first layer to leave out.
        count: How many are left out from there.

    Raises:
        ConfigError: The architecture is not supported, or the model has no such layers.
    """
    config = model.config
    refuse_unsupported(config.model_type)
    depth = config.num_hidden_layers
    if not (0 <= first <= depth - count and 0 < count < depth):
        raise ConfigError(f"drop_layers: cannot drop {count} from layer {first} on of {depth}")
    kept = [layer for layer in range(depth) if not first <= layer < first + count]
    changes: dict[str, Any] = {"num_hidden_layers": len(kept)}
    if getattr(config, "layer_types", None) is not None:
        changes["layer_types"] = [config.layer_types[layer] for layer in kept]
    if getattr(config, "max_window_layers", None) is not None:
        changes["max_window_layers"] = sum(layer < config.max_window_layers for layer in kept)
    shallow = type(model)(type(config).from_dict({**config.to_dict(), **changes}))
    prefix = f"{model.base_model_prefix}.layers."
    places = {old: new for new, old in enumerate(kept)}
    weights = {}
    for name, tensor in model.state_dict().items():
        if name.startswith(prefix):
            layer, _, rest = name.removeprefix(prefix).partition(".")
            if int(layer) not in places:
                continue
            name = f"{prefix}{places[int(layer)]}.{rest}"
        weights[name] = tensor
    cast_weights(shallow, model.dtype).load_state_dict(weights, strict=True)
    if model.can_generate():
        shallow.generation_config = model.generation_config
    return shallow.to(model.device).train(model.training)

"""A transformers model whose weights are those that vLLM holds already."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn
from transformers import PreTrainedModel

from rec_gen.errors import ModelError
from rec_gen.models import Dtype, empty_model


def shared_model(folder: Path, dtype: Dtype, held: nn.Module) -> PreTrainedModel | None:
    """Make a model of views into the weights that vLLM has loaded from the same folder.

    vLLM joins some layers into one; which ones, its model says itself (`packed_modules_mapping`).
    Its vocabulary is padded, which is cut off.

    Args:
        folder: The model, as transformers saved it.
        dtype: The type of its weights.
        held: vLLM's model.

    Returns:
        The model, or None where vLLM keeps the weights in another form: packed for a CPU,
        quantised, cut over several devices, or of layers with other names.

    Raises:
        ModelError: vLLM holds another model's weights.
    """
    model = empty_model(str(folder), dtype, "cpu")
    weights = {
        name.replace(".base_layer.", "."): weight.data for name, weight in held.named_parameters()
    }
    packed = {
        part: (whole, parts)
        for whole, parts in getattr(held, "packed_modules_mapping", {}).items()
        for part in parts
    }
    own = dict(model.named_parameters())
    sizes = {name: weight.shape for name, weight in own.items()}
    views = {name: _view(name, sizes, weights, packed) for name in own}
    plain = {
        name: view
        for name, view in views.items()
        if view is not None and (view.shape, view.dtype) == (own[name].shape, own[name].dtype)
    }
    _refuse_other_weights(plain, folder)  # even where only a few can be compared
    if len(plain) < len(own):
        return None
    for name, view in plain.items():
        layer, _, kind = name.rpartition(".")
        setattr(model.get_submodule(layer), kind, nn.Parameter(view, requires_grad=False))
        device = view.device
    model.tie_weights()
    return model.to(device).eval()  # what is left to move are buffers


def _view(
    name: str,
    sizes: dict[str, torch.Size],
    weights: dict[str, torch.Tensor],
    packed: dict[str, tuple[str, list[str]]],
) -> torch.Tensor | None:
    """Where a weight stands among vLLM's."""
    layer, _, kind = name.rpartition(".")
    block, _, part = layer.rpartition(".")
    rows, first = sizes[name][0], 0
    if part in packed:
        whole, parts = packed[part]
        before = parts[: parts.index(part)]
        first = sum(sizes[f"{block}.{other}.{kind}"][0] for other in before)
        name = f"{block}.{whole}.{kind}"
    weight = weights.get(name)
    return None if weight is None else weight[first : first + rows]


def _refuse_other_weights(plain: dict[str, torch.Tensor], folder: Path) -> None:
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as saved:
            for name in plain.keys() & set(saved.keys()):
                if not torch.equal(plain[name].cpu(), saved.get_tensor(name)):
                    raise ModelError(
                        f"{folder}: vLLM holds other weights for {name}: start it with this model"
                    )

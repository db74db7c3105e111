"""Dropout that a model's own configuration does not offer."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


def add_dropout(model: PreTrainedModel, probability: float) -> None:
    """Drop out what attention and feed-forward blocks add to the residual stream, in training.

    Source: Vaswani et al., "Attention is all you need", 2017, "residual dropout".
    """

    def drop(module: nn.Module, args: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (drop(module, args, output[0]), *output[1:])
        return nn.functional.dropout(output, probability, module.training)

    if probability:
        for layer in model.base_model.layers:
            layer.self_attn.register_forward_hook(drop)
            layer.mlp.register_forward_hook(drop)


def blank(
    ids: torch.Tensor, tokens: torch.Tensor, probability: float, blank_token: int
) -> torch.Tensor:
    """Replace tokens by a blank one at random, so that no answer hangs on a single item.

    Args:
        ids: int64 [batch, length].
        tokens: bool [vocabulary], which tokens may be replaced.
        probability: How often one is.
        blank_token: What stands for it.
    """
    hit = tokens[ids] & (torch.rand(ids.shape, device=ids.device) < probability)
    return ids.masked_fill(hit, blank_token)

"""Dropout that a model's own configuration does not offer."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


def add_dropout(model: PreTrainedModel, embeddings: float, blocks: float) -> None:
    """Drop out embeddings and what each block adds to the residual stream, in training.

    Source: Vaswani et al., "Attention is all you need", 2017, section 5.4.

    Args:
        model: The model.
        embeddings: How often a component of an embedding is dropped.
        blocks: The same for what attention and feed-forward blocks add.
    """
    _drop(model.get_input_embeddings(), embeddings)
    for layer in model.base_model.layers:
        _drop(layer.self_attn, blocks)
        _drop(layer.mlp, blocks)


def _drop(module: nn.Module, probability: float) -> None:
    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (hook(module, args, output[0]), *output[1:])
        return nn.functional.dropout(output, probability, module.training)

    if probability:
        module.register_forward_hook(hook)


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

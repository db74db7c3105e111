"""Dropout that a model's own configuration does not offer."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from rec_gen.errors import ConfigError


def add_dropout(model: PreTrainedModel, embeddings: float, blocks: float) -> None:
    """Drop out embeddings and what each block adds to the residual stream, in training.

    Source: Vaswani et al., "Attention is all you need", 2017, section 5.4.

    Args:
        model: The model.
        embeddings: How often a component of an embedding is dropped.
        blocks: The same for what attention and feed-forward blocks add.

    Raises:
        ConfigError: The architecture names its blocks in another way.
    """
    if embeddings:
        _drop(model.get_input_embeddings(), embeddings)
    if not blocks:
        return
    try:
        parts = [part for layer in model.base_model.layers for part in (layer.self_attn, layer.mlp)]
    except AttributeError as error:
        kind = model.config.model_type
        raise ConfigError(f"train.dropout: finds no blocks in a '{kind}': set it to 0") from error
    for part in parts:
        _drop(part, blocks)


def _drop(module: nn.Module, probability: float) -> None:
    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (hook(module, args, output[0]), *output[1:])
        return nn.functional.dropout(output, probability, module.training)

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

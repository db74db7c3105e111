"""The weights that travel: those that an adapter trains, as float32 arrays by name."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Weights = dict[str, npt.NDArray[np.float32]]


def read_weights(model: nn.Module) -> Weights:
    """The LoRA matrices and the rows of new tokens, copied; a tied table counts once."""
    return {
        name: parameter.detach().float().cpu().numpy().copy()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def write_weights(model: nn.Module, weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Put weights that `read_weights` gave in their places.

    Raises:
        KeyError: A name is missing.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.from_numpy(weights[name]))


def distance(weights: Weights, others: Weights) -> float:
    """The Euclidean distance of two sets of weights, over all numbers of all arrays."""
    squares = (np.square(weights[name].astype(np.float64) - others[name]).sum() for name in others)
    return float(np.sqrt(sum(squares)))

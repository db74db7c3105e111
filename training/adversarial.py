"""Adversarial training: half of the loss is taken where changed embeddings raise it most.

Sources: Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples", 2015, for
the step; Miyato, Dai and Goodfellow, "Adversarial training methods for semi-supervised text
classification", 2017, for taking it at the embeddings of text; He et al., "Adversarial personalized
ranking for recommendation", 2018, for recommenders. There the plain and the perturbed loss are
added; here each example is perturbed in half of its readings, which is the same on average and
needs one reading less.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

SHARE = 0.5
"""How often an example is perturbed."""


def worst_perturbation(
    embedding: nn.Module, loss: Callable[[], torch.Tensor], size: float
) -> torch.Tensor:
    """The change of a batch's embeddings by which a linear loss would rise most.

    Args:
        embedding: The module that reads token ids.
        loss: Runs the model once and gives its loss; the weights receive no gradient of it.
        size: How long the change of each embedding is, as a share of its own length.

    Returns:
        [batch, length, width], a change along the gradient of each embedding, in its dtype; zero
        where nothing depends on an embedding, and in half of the rows, drawn at random.
    """
    read: list[torch.Tensor] = []

    def cut(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
        read.append(output.detach().requires_grad_())
        return read[-1]

    with torch.enable_grad(), _hooked(embedding, cut):
        (gradient,) = torch.autograd.grad(loss(), read)
    direction = nn.functional.normalize(gradient.float(), dim=-1)
    lengths = read[0].detach().float().norm(dim=-1, keepdim=True)
    drawn = torch.rand(len(gradient), 1, 1, device=gradient.device) < SHARE
    change: torch.Tensor = (size * drawn * lengths * direction).to(gradient.dtype)
    return change


@contextmanager
def perturbed(embedding: nn.Module, perturbation: torch.Tensor) -> Iterator[None]:
    """Let a module's embeddings be changed by so much, [batch, length, width]."""

    def add(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
        return output + perturbation.to(output.dtype)

    with _hooked(embedding, add):
        yield


@contextmanager
def _hooked(module: nn.Module, hook: Callable[..., torch.Tensor]) -> Iterator[None]:
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()

"""What a search needs of a language model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch


@dataclass(frozen=True)
class Frontier:
    """The model's view after the last token of each row.

    Attributes:
        logits: float32 [rows, vocabulary], unnormalised scores of the next token.
        cache: Whatever the runtime needs to go on from here.
    """

    logits: torch.Tensor
    cache: Any


class Runtime(Protocol):
    """A causal language model that reads prompts once and is extended token by token."""

    @property
    def name(self) -> str:
        """The model's name, for errors."""

    @property
    def device(self) -> torch.device:
        """Where the logits are."""

    def prefill(self, prompts: Sequence[Sequence[int]]) -> Frontier:
        """Read the prompts, one row each."""

    def extend(self, frontier: Frontier, parents: torch.Tensor, tokens: torch.Tensor) -> Frontier:
        """Append one token to copies of earlier rows.

        Args:
            frontier: The rows to go on from; it may be used up.
            parents: int64 [rows], the earlier row that each new row copies.
            tokens: int64 [rows], the token to append to it.
        """

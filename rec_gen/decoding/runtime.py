"""What a search needs of a language model: a tree of tokens that grows below each prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class Frontier:
    """The model's view after tokens that it has just read.

    Attributes:
        hidden: [tokens, width], one state for each token; after `start`, one for each prompt.
        slots: int64 [tokens], where each token stands in the session's trees.
    """

    hidden: torch.Tensor
    slots: torch.Tensor


class Session(Protocol):
    """A batch of prompts that were read once, and the tokens read below them since."""

    def start(self) -> Frontier:
        """The states at the ends of the prompts."""

    def extend(
        self, parents: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor
    ) -> Frontier:
        """Read runs of tokens, each below a slot.

        Args:
            parents: int64 [runs], the slot that each run goes on from. Slots are numbered in the
                order of reading, so a run may go on from an earlier one of the same call.
            tokens: int64 [tokens], all runs in one.
            lengths: int64 [runs], at least 1.
        """

    def logits(
        self, hidden: torch.Tensor, places: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        """Unnormalised scores of next tokens, float32 [pairs].

        Args:
            hidden: States of a frontier.
            places: int64 [pairs], rows of `hidden`.
            tokens: int64 [pairs].
        """

    def table(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Unnormalised scores, float32 [states, tokens], of each token after each state."""

    def normalizers(self, hidden: torch.Tensor) -> torch.Tensor:
        """The log-sum-exp over the whole vocabulary after each state, float32 [tokens]."""


class LogitStates:
    """The half of a session whose states are the logits, float32 [tokens, vocabulary]."""

    def logits(
        self, hidden: torch.Tensor, places: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        """Unnormalised scores, float32 [pairs], of tokens after states."""
        return hidden[places, tokens]

    def table(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Scores, float32 [states, tokens], of each token after each state."""
        return hidden[:, tokens]

    def normalizers(self, hidden: torch.Tensor) -> torch.Tensor:
        """The log-sum-exp over the vocabulary after each state, float32 [tokens]."""
        return hidden.logsumexp(dim=1)


class Runtime(Protocol):
    """A causal language model."""

    @property
    def name(self) -> str:
        """The model's name, for errors."""

    @property
    def device(self) -> torch.device:
        """Where the states are."""

    def read(self, prompts: Sequence[Sequence[int]]) -> Session:
        """Read a batch of prompts."""

"""The runtime for architectures that cannot share a prompt: every step reads it again."""

from collections.abc import Sequence
from itertools import islice

import torch
from transformers import PreTrainedModel

from rec_gen.decoding.runtime import Frontier, LogitStates

TOKENS = 2048
"""Tokens that are read at once, padding included; each holds logits of the whole vocabulary."""


class RereadRuntime:
    """Any causal language model of transformers, slowly; a state is the model's own logits."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.name = model.config.name_or_path or type(model).__name__
        self.device = torch.device(model.device)
        self._model = model

    def read(self, prompts: Sequence[Sequence[int]]) -> "RereadSession":
        """Remember the prompts."""
        return RereadSession(self._model, prompts)


class RereadSession(LogitStates):
    """The tokens above each slot, which are read from the beginning at every step."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> None:
        self._model = model
        self._paths = [list(prompt) for prompt in prompts]

    def start(self) -> Frontier:
        """The states at the ends of the prompts."""
        states = self._read(self._paths, [1] * len(self._paths))
        return Frontier(states, torch.arange(len(self._paths), device=states.device))

    def extend(
        self, parents: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor
    ) -> Frontier:
        """Read runs of tokens, each below a slot."""
        rest, sequences, first = iter(tokens.tolist()), [], len(self._paths)
        for parent, length in zip(parents.tolist(), lengths.tolist(), strict=True):
            path = self._paths[parent]
            for token in islice(rest, length):
                path = [*path, token]
                self._paths.append(path)
            sequences.append(path)
        states = self._read(sequences, lengths.tolist())
        return Frontier(states, torch.arange(first, len(self._paths), device=states.device))

    @torch.inference_mode()
    def _read(self, sequences: list[list[int]], lasts: list[int]) -> torch.Tensor:
        """The logits at the last tokens of each sequence, float32 [tokens, vocabulary]."""
        size = max(1, TOKENS // max(map(len, sequences)))
        return torch.cat(
            [
                self._read_part(sequences[start : start + size], lasts[start : start + size])
                for start in range(0, len(sequences), size)
            ]
        )

    def _read_part(self, sequences: list[list[int]], lasts: list[int]) -> torch.Tensor:
        ids = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.int64)
        for row, sequence in zip(ids, sequences, strict=True):
            row[: len(sequence)] = torch.tensor(sequence)
        logits = self._model(input_ids=ids.to(self._model.device), use_cache=False).logits
        ends = [
            logits[row, len(s) - last : len(s)]
            for row, (s, last) in enumerate(zip(sequences, lasts, strict=True))
        ]
        return torch.cat(ends).float()

"""The runtime on transformers: any causal language model, on CPU or CUDA."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from rec_gen.decoding.runtime import Frontier


class TransformersRuntime:
    """Prompts are padded on the left and read once; beams select rows of the cache."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    @property
    def name(self) -> str:
        """The model's name, for errors."""
        return self._model.config.name_or_path or type(self._model).__name__

    @property
    def device(self) -> torch.device:
        """The device of the model's weights."""
        return torch.device(self._model.device)

    def prefill(self, prompts: Sequence[Sequence[int]]) -> Frontier:
        """Read the prompts, one row each."""
        width = max(map(len, prompts))
        ids = torch.zeros(len(prompts), width, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        return self._forward(ids.to(self.device), mask.to(self.device), DynamicCache())

    def extend(self, frontier: Frontier, parents: torch.Tensor, tokens: torch.Tensor) -> Frontier:
        """Append one token to copies of earlier rows; the earlier frontier is used up."""
        past, mask = frontier.cache
        past.batch_select_indices(parents)
        mask = torch.nn.functional.pad(mask[parents], (0, 1), value=1)
        return self._forward(tokens[:, None], mask, past)

    @torch.inference_mode()
    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, past: Any) -> Frontier:
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=past,
            use_cache=True,
            logits_to_keep=1,
        )
        return Frontier(output.logits[:, -1].float(), (output.past_key_values, mask))

"""The runtime on transformers: prompts are read once, and beams share them as a tree.

A tree of tokens hangs below each prompt in one cache. A token attends to its prompt, to its own
ancestors and to nothing else, which a four-dimensional attention mask says to any architecture
(SpecInfer, Miao et al., 2024, verifies draft trees so). No beam copies a cache.
"""

from collections.abc import Sequence

import torch
from transformers import DynamicCache, PreTrainedModel

from rec_gen.decoding.head import Head
from rec_gen.decoding.ragged import ragged
from rec_gen.decoding.runtime import ROOT, Frontier

SUPPORTED = ("gemma3_text", "llama", "mistral", "qwen2", "qwen3")
"""Architectures whose results were compared with brute force."""


class TransformersRuntime:
    """A causal language model of transformers, on CPU or CUDA."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        # PEFT wraps the causal model; the adapter is inside either way
        self._plain = model.get_base_model() if hasattr(model, "get_base_model") else model

    @property
    def name(self) -> str:
        """The model's name, for errors."""
        return self._model.config.name_or_path or type(self._model).__name__

    @property
    def device(self) -> torch.device:
        """The device of the model's weights."""
        return torch.device(self._model.device)

    @torch.inference_mode()
    def read(self, prompts: Sequence[Sequence[int]]) -> "TreeSession":
        """Read a batch of prompts."""
        return TreeSession(self._plain, prompts)


class TreeSession:
    """The cache of a batch: prompts, padded on the right, and below each its tree of tokens."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> None:
        self._backbone = model.base_model
        self._config = model.config.get_text_config()
        self._head = Head(model)
        self._cache = DynamicCache()
        device = model.device
        self._lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        self._width = int(self._lengths.max())
        ids = torch.zeros(len(prompts), self._width, dtype=torch.int64)
        for row, prompt in zip(ids, prompts, strict=True):
            row[: len(prompt)] = torch.tensor(prompt)
        # what stands right of a prompt cannot be seen from inside it, so this needs no mask
        states = self._forward(ids.to(device))
        rows = torch.arange(len(prompts), device=device)
        self._start = Frontier(states[rows, self._lengths - 1], torch.full_like(rows, ROOT))
        self._depths = ids.new_zeros(len(prompts), 0).to(device)
        self._ancestors = torch.zeros(len(prompts), 0, 0, dtype=torch.bool, device=device)

    def start(self) -> Frontier:
        """The states at the ends of the prompts."""
        return self._start

    @torch.inference_mode()
    def extend(
        self,
        requests: torch.Tensor,
        parents: torch.Tensor,
        tokens: torch.Tensor,
        lengths: torch.Tensor,
    ) -> Frontier:
        """Read runs of tokens, each below a slot of the tree of its request."""
        run, offset = ragged(lengths)
        request, parent, known = requests[run], parents[run], self._depths.shape[1]
        column = _rank_in_group(request, len(self._lengths))
        cells = (request, column)
        ids = tokens.new_zeros(len(self._lengths), int(column.max()) + 1)
        ids[cells] = tokens
        depths, run_of = torch.zeros_like(ids), torch.full_like(ids, -1)
        depths[cells] = self._depth(request, parent) + offset + 1
        run_of[cells] = run
        inherited = torch.zeros(*ids.shape, known, dtype=torch.bool, device=ids.device)
        inherited[cells] = self._path(request, parent)
        same_run = run_of[:, :, None] == run_of[:, None, :]
        earlier = depths[:, :, None] >= depths[:, None, :]
        ancestors = torch.cat([inherited, same_run & earlier], dim=2)
        self._depths = torch.cat([self._depths, depths], dim=1)
        unseen = torch.nn.functional.pad(self._ancestors, (0, ids.shape[1]))
        self._ancestors = torch.cat([unseen, ancestors], dim=1)
        positions = self._lengths[:, None] + depths - 1
        states = self._forward(ids, positions, self._mask(positions, ancestors))
        return Frontier(states[cells], column + known)

    def _depth(self, requests: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """How many tokens of the tree a path to each slot has, the slot's own included."""
        padded = torch.nn.functional.pad(self._depths, (1, 0))
        return padded[requests, slots + 1]

    def _path(self, requests: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """Which slots lie on the path to each slot, bool [rows, slots]."""
        padded = torch.nn.functional.pad(self._ancestors, (0, 0, 1, 0))
        return padded[requests, slots + 1]

    def logits(
        self, hidden: torch.Tensor, places: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        """Unnormalised scores, float32 [pairs], of tokens after states."""
        return self._head.logits(hidden, places, tokens)

    def normalizers(self, hidden: torch.Tensor) -> torch.Tensor:
        """The log-sum-exp over the whole vocabulary after each state, float32 [tokens]."""
        return self._head.normalizers(hidden)

    def _forward(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor | None = None,
        mask: torch.Tensor | dict[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        output = self._backbone(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        )
        states: torch.Tensor = output.last_hidden_state
        return states

    def _mask(
        self, positions: torch.Tensor, ancestors: torch.Tensor
    ) -> torch.Tensor | dict[str, torch.Tensor]:
        """Which keys each token may see, bool [requests, 1, tokens, keys]; by kind of layer."""
        places = torch.arange(self._width, device=positions.device).expand(len(positions), -1)
        prompt = (places < self._lengths[:, None])[:, None].expand(-1, positions.shape[1], -1)
        full = torch.cat([prompt, ancestors], dim=2)[:, None]
        window: int | None = getattr(self._config, "sliding_window", None)
        if window is None:
            return full
        keys = torch.cat([places, self._lengths[:, None] + self._depths - 1], dim=1)
        near: torch.Tensor = positions[:, None, :, None] - keys[:, None, None, :] < window
        kinds = getattr(self._config, "layer_types", None)
        if kinds is None:
            return full & near
        return {"full_attention": full, "sliding_attention": full & near}


def _rank_in_group(group: torch.Tensor, groups: int) -> torch.Tensor:
    """How many earlier rows belong to the same group, int64 [rows]."""
    order = group.argsort(stable=True)
    counts = torch.bincount(group, minlength=groups)
    starts = counts.cumsum(0) - counts
    rank = torch.empty_like(group)
    rank[order] = torch.arange(len(group), device=group.device) - starts[group[order]]
    return rank

"""The runtime on transformers: a tree of tokens hangs below each prompt, in one store.

All tokens of a reading are packed in one row, so no layer works on padding, and the beginning that
all prompts share is read once. A token attends to its prompt, to its own ancestors and to nothing
else (SpecInfer, Miao et al., 2024, verifies draft trees so). No beam copies a cache.
"""

from collections.abc import Sequence
from itertools import chain, islice, takewhile

import torch
from transformers import PreTrainedModel

from rec_gen.decoding.head import Head
from rec_gen.decoding.runtime import Frontier
from rec_gen.decoding.token_tree import NOWHERE, TokenTree
from rec_gen.decoding.tree_attention import NAME, views_of
from rec_gen.errors import ModelError

SPARE = 1.25
"""A full store grows to this many times what it must hold."""


class TransformersRuntime:
    """A causal language model of transformers, on CPU or CUDA."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Take a model over: its attention becomes one that also knows trees.

        Raises:
            ModelError: An adapter works outside the layers and the weight of the head.
        """
        # PEFT wraps the causal model; the adapter is inside either way
        self._model = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.name: str = model.config.name_or_path or type(model).__name__
        if _adapted_outside(model):
            raise ModelError(
                f"{self.name}: its adapter adds virtual tokens or a path beside the LM head, which "
                "no search would see: merge it, or adapt other layers"
            )
        self._model.set_attn_implementation(NAME)

    @property
    def device(self) -> torch.device:
        """The device of the model's weights."""
        return torch.device(self._model.device)

    @torch.inference_mode()
    def read(self, prompts: Sequence[Sequence[int]]) -> "TreeSession":
        """Read a batch of prompts.

        Raises:
            ModelError: The model is in training mode, where dropout would disturb every score.
        """
        if self._model.training:
            raise ModelError(f"{self.name}: the model is in training mode; call its `eval()` first")
        return TreeSession(self._model, prompts)


class TreeSession:
    """A batch of prompts and the trees of tokens below them."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> None:
        self._backbone, self._device, self._head = model.get_decoder(), model.device, Head(model)
        self._window: int | None = getattr(model.config.get_text_config(), "sliding_window", None)
        self._tree, self._store = TokenTree(), KeyValueStore()
        common = _common(prompts)
        runs = [prompts[0][:common]] if common else []
        parents = [NOWHERE] * len(runs) + [common - 1] * len(prompts)
        runs += [prompt[common:] for prompt in prompts]
        lengths = [len(run) for run in runs]
        tokens = torch.tensor(list(chain(*runs)), device=self._device)
        states = self._read(tokens, parents, lengths, prompts=True)
        ends = torch.tensor(lengths, device=self._device).cumsum(0)[-len(prompts) :] - 1
        self._start = Frontier(states.hidden[ends], states.slots[ends])

    def start(self) -> Frontier:
        """The states at the ends of the prompts."""
        return self._start

    @torch.inference_mode()
    def extend(
        self, parents: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor
    ) -> Frontier:
        """Read runs of tokens, each below a slot."""
        return self._read(tokens, parents.tolist(), lengths.tolist())

    def logits(
        self, hidden: torch.Tensor, places: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        """Unnormalised scores, float32 [pairs], of tokens after states."""
        return self._head.logits(hidden, places, tokens)

    def table(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Unnormalised scores, float32 [states, tokens], of each token after each state."""
        return self._head.table(hidden, tokens)

    def normalizers(self, hidden: torch.Tensor) -> torch.Tensor:
        """The log-sum-exp over the whole vocabulary after each state, float32 [tokens]."""
        return self._head.normalizers(hidden)

    def _read(
        self, tokens: torch.Tensor, parents: list[int], lengths: list[int], *, prompts: bool = False
    ) -> Frontier:
        slots, blocks = self._tree.grow(parents, lengths, prompts=prompts)
        depths = self._tree.depths
        embeddings = self._backbone.get_input_embeddings().weight
        hidden: torch.Tensor = self._backbone(
            input_ids=tokens[None],
            attention_mask=embeddings.new_empty(1, 1, 1, 1),  # keeps transformers from making one
            position_ids=torch.from_numpy(depths[slots.start :]).to(self._device)[None],
            past_key_values=self._store,
            use_cache=True,
            views=views_of(blocks, depths, slots.start, self._window, embeddings),
        ).last_hidden_state[0]
        self._store.filled = slots.stop
        return Frontier(hidden, torch.arange(slots.start, slots.stop, device=self._device))


class KeyValueStore:
    """The keys and values of all slots, one pair of tensors a layer: [heads, slots, width].

    It stands where transformers' layers expect a cache.
    """

    def __init__(self) -> None:
        self.filled = 0
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer: int, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the keys and values of new slots, [1, heads, tokens, width], behind the others."""
        stop = self.filled + key.shape[2]
        old = self._layers.get(layer, (key[0, :, :0], value[0, :, :0]))
        if old[0].shape[1] < stop:
            self._layers[layer] = (self._moved(old[0], stop), self._moved(old[1], stop))
        keys, values = self._layers[layer]
        keys[:, self.filled : stop], values[:, self.filled : stop] = key[0], value[0]
        return keys, values

    def _moved(self, old: torch.Tensor, stop: int) -> torch.Tensor:
        new = old.new_empty(old.shape[0], int(SPARE * stop), old.shape[2])
        new[:, : self.filled] = old[:, : self.filled]
        return new


def _adapted_outside(model: PreTrainedModel) -> bool:
    """Whether PEFT adds tokens before the prompt or an adapter that is not in the head's weight."""
    adapter, head = getattr(model, "active_peft_config", None), model.get_output_embeddings()
    beside_head = hasattr(head, "base_layer") and not head.merged
    return beside_head or bool(adapter and adapter.is_prompt_learning)


def _common(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all of several prompts begin with; each goes on with at least one."""
    if len(prompts) == 1:
        return 0
    limit = min(map(len, prompts)) - 1
    same = (len(set(tokens)) == 1 for tokens in zip(*prompts, strict=False))
    return sum(1 for _ in islice(takewhile(bool, same), limit))

"""vLLM's plugin: any of its servers then answers inside a catalog where a request names one.

`RECGEN_CATALOGS` names the catalogs, as `rec_gen.catalogs.named_tries` reads it, and a request asks
by `"vllm_xargs": {"catalog": NAME}`. The class below is both of vLLM's interfaces in one, as both
of its model runners load the same entry point and the newer one refuses what is not its own.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.sample.logits_processor.interface import LogitsProcessor as Processor
from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsProcessor as SlotProcessor

from rec_gen.catalogs import named_tries
from rec_gen.decoding.trie_walker import Tokens, TrieWalker
from rec_gen.errors import ConfigError, RecGenError

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.config import VllmConfig
    from vllm.v1.sample.logits_processor.interface import BatchUpdate
    from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsContext

VARIABLE, ARGUMENT = "RECGEN_CATALOGS", "catalog"
CONFLICTS = (
    "allowed_token_ids", "bad_words", "ignore_eos", "min_tokens", "repetition_detection", "stop",
    "structured_outputs", "thinking_token_budget", "trace_decode_token_ids",
)  # fmt: skip
"""Options that forbid tokens, force them or end an answer: beside a catalog nothing may be left."""


@dataclass(frozen=True)
class Constraint:
    """What holds for one request.

    Attributes:
        walker: The catalog; None where the process does not know it, and only the end is allowed.
        end: The token that ends an answer.
        written: What was written so far, a list that the engine goes on with; empty where the
            engine keeps it elsewhere.
    """

    walker: TrieWalker | None
    end: int
    written: Sequence[int] = ()

    def allowed(self, written: Sequence[int]) -> Tokens:
        """The tokens that may come next, int32, at least one."""
        following = None if self.walker is None else self.walker.next_tokens(written)
        if following is None or not len(following):
            return np.array([self.end], np.int32)
        return following


class CatalogProcessor(Processor, SlotProcessor):  # type: ignore[misc]
    """Masks what leads out of the catalog that a request names.

    Each answer is the spelling of one item and the end token. Requests that name no catalog are
    not touched.
    """

    def __init__(
        self, vllm_config: "VllmConfig", place: Any, is_pin_memory: bool | None = None
    ) -> None:
        """Load the catalogs.

        Args:
            vllm_config: The engine's options.
            place: The device, or for the newer model runner the state of its requests.
            is_pin_memory: Given by the older model runner alone.

        Raises:
            RecGenError: A catalog cannot be loaded or does not fit the model or the engine.
        """
        self._slots = None if is_pin_memory is not None else place
        self._constraints: dict[int, Constraint] = {}
        walkers = _walkers(os.environ.get(VARIABLE, ""))
        self._end = _refuse_unfit(walkers, vllm_config, slots=self._slots is not None)

    @classmethod
    def validate_params(cls, sampling_params: "SamplingParams") -> None:
        """Refuse a request that could not be answered inside its catalog.

        Raises:
            ValueError: It is one; the message says the mend.
        """
        arguments = sampling_params.extra_args or {}
        if ARGUMENT not in arguments:
            return
        try:
            walkers = _walkers(os.environ.get(VARIABLE, ""))
        except RecGenError as error:
            raise ValueError(str(error)) from error
        _refuse(sampling_params, arguments[ARGUMENT], walkers)

    def is_argmax_invariant(self) -> bool:
        """It is not: the likeliest token may lead out of the catalog."""
        return False

    def update_state(self, batch_update: "BatchUpdate | None") -> None:
        """Follow the rows of the older model runner's batch."""
        process_dict_updates(self._constraints, batch_update, self._constraint)

    def add_request(self, req_idx: int, sampling_params: "SamplingParams") -> bool:
        """Take a slot of the newer model runner; says whether its request names a catalog."""
        found = self._constraint(sampling_params, None, [])
        self._constraints.pop(req_idx, None)
        if found is not None:
            self._constraints[req_idx] = found
        return found is not None

    def apply(self, logits: torch.Tensor, ctx: "LogitsContext | None" = None) -> torch.Tensor:
        """Mask in place.

        Args:
            logits: float32 [rows, vocabulary].
            ctx: The newer model runner's rows.
        """
        if not self._constraints:
            return logits
        if ctx is None:
            known = self._constraints.items()
            return keep_only(logits, {row: one.allowed(one.written) for row, one in known})
        if self._constraints.keys().isdisjoint(ctx.idx_mapping_np.tolist()):
            return logits
        written = self._written(ctx)
        allowed = {
            row: self._constraints[slot].allowed(tokens) for row, (slot, tokens) in written.items()
        }
        return keep_only(logits, allowed)

    def _constraint(
        self, params: "SamplingParams", _: list[int] | None, written: list[int]
    ) -> Constraint | None:
        name = (params.extra_args or {}).get(ARGUMENT)
        if name is None:
            return None
        walker = _walkers(os.environ.get(VARIABLE, "")).get(name)
        if walker is None:
            # another process accepted it; an error here would end the engine for everyone
            logging.getLogger(__name__).error("the catalog '%s' is not known here", name)
        end = params.eos_token_id
        return Constraint(walker, self._end if end is None else end, written)

    def _written(self, ctx: "LogitsContext") -> dict[int, tuple[int, list[int]]]:
        """The slot of each constrained row of logits, and what was written before it.

        A row of a draft also follows the drafts before it, which stand only in the inputs.
        """
        state: Any = self._slots
        rows = [
            (row, slot)
            for row, slot in enumerate(ctx.expanded_idx_mapping.tolist())
            if slot in self._constraints
        ]
        slots = sorted({slot for _, slot in rows})
        index = torch.tensor(slots, device=state.all_token_ids.gpu.device)
        totals = state.total_len.gpu[index].tolist()
        committed = {}
        for slot, total in zip(slots, totals, strict=True):
            begin = int(state.prompt_len.np[slot])
            committed[slot] = state.all_token_ids.gpu[slot, begin:total].tolist()
        inputs, drafts = ctx.input_ids.tolist(), ctx.expanded_local_pos.tolist()
        return {
            row: (slot, committed[slot] + inputs[row - drafts[row] + 1 : row + 1])
            for row, slot in rows
        }


def keep_only(logits: torch.Tensor, allowed: Mapping[int, Tokens]) -> torch.Tensor:
    """Put all logits of some rows but those of allowed tokens to minus infinity, in place."""
    sizes = [len(tokens) for tokens in allowed.values()]
    pairs = np.stack([np.repeat(list(allowed), sizes), np.concatenate(list(allowed.values()))])
    row, token = torch.from_numpy(pairs).to(logits.device)
    kept = logits[row, token]
    logits[row.unique_consecutive()] = -torch.inf
    logits[row, token] = kept
    return logits


@lru_cache(maxsize=1)
def _walkers(setting: str) -> dict[str, TrieWalker]:
    return {name: TrieWalker(trie) for name, trie in named_tries(setting).items()}


def _refuse_unfit(walkers: Mapping[str, TrieWalker], config: "VllmConfig", *, slots: bool) -> int:
    """Refuse catalogs that this engine cannot keep to; gives the end token of its model."""
    model = config.model_config
    end = getattr(model.hf_text_config, "eos_token_id", None)
    end = end[0] if isinstance(end, list) else end
    if not walkers:
        return -1
    for name, walker in walkers.items():
        if (most := int(walker.tokens[-1])) >= model.get_vocab_size():
            raise ConfigError(
                f"{VARIABLE}: the catalog '{name}' has the token {most} and the model "
                f"{model.get_vocab_size()} tokens: serve the model that the catalog was made for"
            )
    if end is None:
        raise ConfigError(f"{model.model}: its configuration names no eos_token_id: add one")
    if not slots and config.scheduler_config.async_scheduling and not model.logits_processors:
        # that runner tells plugins what was written only where one is named by option too
        raise ConfigError(
            f"{VARIABLE}: vLLM's older model runner hides from plugins what is written: start it "
            "with --no-async-scheduling"
        )
    return int(end)


def _refuse(params: "SamplingParams", name: object, walkers: Mapping[str, TrieWalker]) -> None:
    if not isinstance(name, str):
        raise ValueError(f"{ARGUMENT}: {name!r} is no name: give one catalog's name as a string")  # noqa: TRY004
    if name not in walkers:
        known = ", ".join(sorted(walkers)) or f"none, as {VARIABLE} is not set on the server"
        raise ValueError(f"{ARGUMENT}: '{name[:80]}' is not known; the catalogs are: {known}")
    for option in CONFLICTS:
        if getattr(params, option, None):
            raise ValueError(f"{option}: it cannot stand beside a {ARGUMENT}: leave it out")
    walker = walkers[name]
    if clash := np.intersect1d(params.stop_token_ids or [], walker.tokens).tolist():
        raise ValueError(f"stop_token_ids: {clash[0]} is a token of the catalog '{name}'")
    if params.max_tokens is not None and params.max_tokens < walker.longest:
        raise ValueError(
            f"max_tokens: {params.max_tokens} would cut items of the catalog '{name}' short: give "
            f"at least {walker.longest}"
        )

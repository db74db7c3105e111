"""vLLM's own beam search inside a trie: the rival of `eval.benchmarks.vllm`.

`LLM.beam_search` makes a new request of each beam at each step and hands processors no arguments.
So this one knows the prompts of the turn, and takes what stands behind one as written.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from vllm import LLM
from vllm.sampling_params import BeamSearchParams
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.sample.logits_processor.interface import LogitsProcessor

from rec_gen.bundle import Bundle
from rec_gen.decoding.trie_walker import TrieWalker
from rec_gen.vllm_plugin import Constraint, keep_only

if TYPE_CHECKING:
    from vllm.v1.sample.logits_processor.interface import BatchUpdate


class PromptTrie(LogitsProcessor):  # type: ignore[misc]
    """The mask of each request whose prompt begins with one of the known prompts.

    Attributes:
        walker: The catalog.
        end: The token that ends a spelling.
        prompts: The prompts of the turn.
    """

    walker: TrieWalker
    end: int
    prompts: frozenset[tuple[int, ...]] = frozenset()

    def __init__(self, *_: object) -> None:
        self._rows: dict[int, Constraint] = {}

    def is_argmax_invariant(self) -> bool:
        """It is not."""
        return False

    def update_state(self, batch_update: "BatchUpdate | None") -> None:
        """Follow the rows of the batch."""
        process_dict_updates(self._rows, batch_update, self._constraint)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Mask in place."""
        known = self._rows.items()
        allowed = {row: one.allowed(one.written) for row, one in known}
        return keep_only(logits, allowed) if allowed else logits

    def _constraint(self, _: object, prompt: list[int] | None, __: object) -> Constraint | None:
        tokens = prompt or []
        for stop in range(len(tokens), max(0, len(tokens) - self.walker.longest - 2), -1):
            if tuple(tokens[:stop]) in self.prompts:
                return Constraint(self.walker, self.end, tokens[stop:])
        return None


class BeamSearch:
    """`LLM.beam_search` over a bundle's catalog.

    Attributes:
        llm: The engine; its scores are those after the mask, without which beams die.
    """

    def __init__(self, bundle: Bundle, width: int, **options: Any) -> None:
        self._bundle, self._width = bundle, width
        self._items = {
            tuple(map(int, tokens)): bundle.catalog[item].id
            for item, tokens in enumerate(bundle.spellings.tokens)
        }
        PromptTrie.walker = TrieWalker(bundle.trie)
        PromptTrie.end = int(bundle.tokenizer.eos_token_id)
        self.llm = LLM(
            **options,
            logprobs_mode="processed_logprobs",
            max_logprobs=2 * width,
            logits_processors=[PromptTrie],
        )

    def search(self, prompts: Sequence[list[int]]) -> list[list[str | None]]:
        """The items of each prompt's beams, best first; None for what is no spelling."""
        PromptTrie.prompts = frozenset(map(tuple, prompts))
        inputs: Any = [{"prompt_token_ids": prompt} for prompt in prompts]
        # without a penalty of length, as the score of an item is its log-probability
        settings = BeamSearchParams(
            beam_width=self._width, max_tokens=PromptTrie.walker.longest, length_penalty=0.0
        )
        outputs = self.llm.beam_search(inputs, settings)
        return [
            [self._item(beam.tokens[len(prompt) :]) for beam in output.sequences]
            for prompt, output in zip(prompts, outputs, strict=True)
        ]

    def _item(self, tokens: Sequence[int]) -> str | None:
        written = np.array(tokens)
        return self._items.get(tuple(written[written != PromptTrie.end].tolist()))

"""The runtime on top of a vLLM engine: what comes after a path is asked by one-token requests.

A state is the slot of a token. Nothing is read before its scores are asked for: then the path is
the prompt of a request, forced tokens included, and vLLM's prefix caching knows the beginning
again. vLLM scores up to 128 chosen tokens a request, so a node with more children takes several.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import torch

from rec_gen.decoding.runtime import Frontier
from rec_gen.errors import ModelError

if TYPE_CHECKING:
    from vllm import LLM, SamplingParams
    from vllm.config import VllmConfig
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.async_llm import AsyncLLM

MODE = "raw_logprobs"
MOST = 128
"""Tokens that vLLM scores at most for one request."""


@dataclass(frozen=True)
class Asked:
    """One request to the engine.

    Attributes:
        path: The tokens of a prompt and of what follows it.
        tokens: Tokens, the log-probabilities of which after the path are asked for; at most 128.
    """

    path: list[int]
    tokens: list[int]


Scores = Mapping[int, float]
"""The log-probability of each token that was asked for."""


def _plain_prompt(path: list[int]) -> Any:
    return {"prompt_token_ids": path}


class VLLMRuntime:
    """A causal language model in a vLLM engine.

    Args:
        name: The model's name, for errors.
        ask: Answers requests, in their order.
    """

    def __init__(self, name: str, ask: Callable[[Sequence[Asked]], Sequence[Scores]]) -> None:
        self.name = name
        self.device = torch.device("cpu")
        self._ask = ask

    @classmethod
    def offline(
        cls,
        llm: "LLM",
        lora: "LoRARequest | None" = None,
        prompt_of: Callable[[list[int]], Any] = _plain_prompt,
    ) -> "VLLMRuntime":
        """Over an engine for batches.

        Args:
            llm: The engine.
            lora: The adapter that all requests go to.
            prompt_of: Makes vLLM's prompt of tokens; for images, `ImageReader.vllm_prompt`.

        Raises:
            ModelError: An option of the engine would change the scores.
        """
        name = _checked(llm.llm_engine.vllm_config)

        def ask(asked: Sequence[Asked]) -> list[Scores]:
            prompts = [prompt_of(request.path) for request in asked]
            sampling = [_one_token(request) for request in asked]
            try:
                outputs = llm.generate(prompts, sampling, lora_request=lora, use_tqdm=False)
            except ValueError as error:
                raise _refusal(name, error) from error
            return [_scores(output) for output in outputs]

        return cls(name, ask)

    @classmethod
    def online(
        cls,
        llm: "AsyncLLM",
        loop: asyncio.AbstractEventLoop,
        lora: "LoRARequest | None" = None,
    ) -> "VLLMRuntime":
        """Over an engine that others may use at the same time; searches run in other threads.

        Args:
            llm: The engine.
            loop: The running loop that it belongs to.
            lora: The adapter that all requests go to.

        Raises:
            ModelError: An option of the engine would change the scores.
        """
        name = _checked(llm.vllm_config)

        async def one(request: Asked) -> Scores:
            prompt: Any = {"prompt_token_ids": request.path}
            sampling = _one_token(request)
            stream = llm.generate(prompt, sampling, uuid4().hex, lora_request=lora)
            try:
                return [_scores(output) async for output in stream][-1]
            except ValueError as error:
                raise _refusal(name, error) from error

        async def every(asked: Sequence[Asked]) -> list[Scores]:
            return await asyncio.gather(*map(one, asked))

        def ask(asked: Sequence[Asked]) -> list[Scores]:
            return asyncio.run_coroutine_threadsafe(every(asked), loop).result()

        return cls(name, ask)

    def read(self, prompts: Sequence[Sequence[int]]) -> "VLLMSession":
        """Remember the prompts."""
        return VLLMSession(prompts, self._ask)


class VLLMSession:
    """The tree of tokens below each prompt; a state is the slot of its token, int64 [tokens, 1]."""

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        ask: Callable[[Sequence[Asked]], Sequence[Scores]],
    ) -> None:
        self._prompts, self._ask = prompts, ask
        # the slot above each slot and its token; a prompt is the slot of its own number
        self._above: list[int] = [-1] * len(prompts)
        self._tokens: list[int] = [-1] * len(prompts)

    def start(self) -> Frontier:
        """The states at the ends of the prompts."""
        return _frontier(0, len(self._prompts))

    def extend(
        self, parents: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor
    ) -> Frontier:
        """Hang runs of tokens below slots."""
        rest, first = iter(tokens.tolist()), len(self._tokens)
        for slot, length in zip(parents.tolist(), lengths.tolist(), strict=True):
            for token in islice(rest, length):
                self._above.append(slot)
                slot = len(self._tokens)
                self._tokens.append(token)
        return _frontier(first, len(self._tokens))

    def logits(
        self, hidden: torch.Tensor, places: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        """The log-probabilities of tokens after states, float32 [pairs]."""
        pairs = list(zip(hidden[places, 0].tolist(), tokens.tolist(), strict=True))
        wanted: defaultdict[int, dict[int, None]] = defaultdict(dict)
        for slot, token in pairs:
            wanted[slot][token] = None
        asked, slots = [], []
        for slot, each in wanted.items():
            path, chosen = self._path(slot), list(each)
            for start in range(0, len(chosen), MOST):
                asked.append(Asked(path, chosen[start : start + MOST]))
                slots.append(slot)
        found: defaultdict[int, dict[int, float]] = defaultdict(dict)
        for slot, scores in zip(slots, self._ask(asked) if asked else (), strict=True):
            found[slot] |= scores
        return torch.tensor([found[slot][token] for slot, token in pairs], dtype=torch.float32)

    def table(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Refused: an engine is asked for few tokens at a time.

        Raises:
            ModelError: In any case.
        """
        raise ModelError("vLLM tells the scores of few tokens: have replies made by transformers")

    def normalizers(self, hidden: torch.Tensor) -> torch.Tensor:
        """Zeros, float32 [tokens]: what the engine says is normalised already."""
        return torch.zeros(len(hidden))

    def _path(self, slot: int) -> list[int]:
        path = []
        while slot >= len(self._prompts):
            path.append(self._tokens[slot])
            slot = self._above[slot]
        return [*self._prompts[slot], *reversed(path)]


def _checked(config: "VllmConfig") -> str:
    """The model's name, once its engine's log-probabilities are known to be those of the model."""
    model, cache = config.model_config, config.cache_config.cache_dtype
    name: str = model.model
    if model.logprobs_mode != MODE:
        raise ModelError(
            f"{name}: the engine's logprobs_mode is '{model.logprobs_mode}', whose scores "
            f"sampling has changed: start it with '{MODE}'"
        )
    if cache not in {"auto", str(model.dtype).removeprefix("torch.")}:
        raise ModelError(
            f"{name}: the engine keeps keys and values as {cache}, which changes scores: "
            "start it with kv_cache_dtype 'auto'"
        )
    return name


def _one_token(request: Asked) -> "SamplingParams":
    """What the engine is told beside the path."""
    from vllm import SamplingParams

    return SamplingParams(
        max_tokens=1,
        temperature=0,
        logprob_token_ids=request.tokens,
        detokenize=False,
        skip_clone=True,  # nobody else holds it
    )


def _scores(output: Any) -> Scores:
    """The log-probability of each token in the output of a one-token request."""
    (step,) = output.outputs[0].logprobs
    return {token: found.logprob for token, found in step.items()}


def _refusal(name: str, error: ValueError) -> ModelError:
    return ModelError(f"{name}: vLLM refuses a request: {str(error).splitlines()[0]}")


def _frontier(start: int, stop: int) -> Frontier:
    slots = torch.arange(start, stop)
    return Frontier(slots[:, None], slots)

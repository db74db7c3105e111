"""Prints what vLLM says comes after prompts: `python -m tests.training.vllm_logprobs JSON`.

The JSON is a list, each a `model` folder, perhaps an `adapter` folder, and `prompts` as token ids.
The answer is a list of as many; in each one list a prompt, the log-probability of each token of the
vocabulary.
"""

import json
import os
import sys
from typing import Any

from tests.vllm_settings import VLLM


def logprobs(model: str, prompts: list[list[int]], adapter: str | None = None) -> list[list[float]]:
    """The log-probability of each token of the vocabulary after each prompt."""
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    llm = LLM(
        model,
        skip_tokenizer_init=True,
        dtype="float32",
        enforce_eager=True,
        max_model_len=128,
        block_size=32,
        max_logprobs=-1,
        enable_lora=adapter is not None,
    )
    lora = LoRARequest("adapter", 1, adapter) if adapter else None
    sampling = SamplingParams(max_tokens=1, logprobs=-1, detokenize=False)
    inputs: Any = [{"prompt_token_ids": ids} for ids in prompts]
    outputs = llm.generate(inputs, sampling, lora_request=lora, use_tqdm=False)
    steps = [output.outputs[0].logprobs[0] for output in outputs]
    return [[step[token].logprob for token in sorted(step)] for step in steps]


if __name__ == "__main__":
    os.environ |= VLLM
    print(json.dumps([logprobs(**request) for request in json.loads(sys.argv[1])]))

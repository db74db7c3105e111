"""Prints what vLLM says comes after prompts: `python -m tests.training.vllm_logprobs JSON`.

The JSON names a `model` folder, perhaps an `adapter` folder, and `prompts` as token ids. The answer
is one list a prompt, the log-probability of each token of the vocabulary.
"""

import json
import os
import sys
from typing import Any

os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}


def logprobs(model: str, prompts: list[list[int]], adapter: str | None) -> list[list[float]]:
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
    request = json.loads(sys.argv[1])
    print(json.dumps(logprobs(request["model"], request["prompts"], request.get("adapter"))))

"""Prints what vLLM says of prompts: `python -m tests.training.vllm_logprobs JSON`.

The JSON names a `model` folder, perhaps an `adapter` folder, and `prompts` as token ids. The answer
is one list a prompt, the log-probability of each token but the first.
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
    """The log-probability of each token of each prompt, but the first."""
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    llm = LLM(
        model,
        skip_tokenizer_init=True,
        dtype="float32",
        enforce_eager=True,
        max_model_len=128,
        block_size=32,
        enable_lora=adapter is not None,
    )
    lora = LoRARequest("adapter", 1, adapter) if adapter else None
    sampling = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
    inputs: Any = [{"prompt_token_ids": ids} for ids in prompts]
    outputs = llm.generate(inputs, sampling, lora_request=lora, use_tqdm=False)
    return [
        [
            step[token].logprob
            for step, token in zip(output.prompt_logprobs[1:], ids[1:], strict=True)
        ]
        for output, ids in zip(outputs, prompts, strict=True)
    ]


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    print(json.dumps(logprobs(request["model"], request["prompts"], request.get("adapter"))))

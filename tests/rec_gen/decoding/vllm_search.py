"""Searches on top of a real engine: `python -m tests.rec_gen.decoding.vllm_search BUNDLE`.

Prints JSON: the answers to each of the cases, and what is refused.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from rec_gen.decoding.sampling import Sampling
from tests.vllm_settings import VLLM

HISTORIES = [["i3", "i77"], [], ["i149"]]
CASES: list[dict[str, Any]] = [
    {"score": "catalog"},
    {"score": "lm", "k": 20},
    {"score": "lm", "exact": True, "k": 3},
    {"score": "catalog", "allow": [f"i{n}" for n in range(0, 150, 7)], "k": 5},
    {"score": "lm", "sampling": Sampling(seed=3)},
]


def main(path: Path) -> dict[str, Any]:
    from vllm import LLM
    from vllm.sampling_params import MAX_LOGPROB_TOKEN_IDS

    from rec_gen.bundle import MODEL, Bundle
    from rec_gen.decoding.vllm_runtime import VLLMRuntime
    from rec_gen.errors import ModelError
    from rec_gen.recommender import Recommender

    llm = LLM(
        str(path / MODEL),
        skip_tokenizer_init=True,
        dtype="float32",
        enforce_eager=True,
        block_size=32,
    )
    recommender = Recommender(Bundle.load(path, weights=False), VLLMRuntime.offline(llm))
    answers = [
        [
            {
                "items": [found.item.id for found in answer],
                "scores": [found.score for found in answer],
                "certified": answer.certified,
            }
            for answer in recommender.recommend(HISTORIES, **case)
        ]
        for case in CASES
    ]
    refused = []
    config = llm.llm_engine.vllm_config
    for part, field, value in (
        (config.model_config, "logprobs_mode", "processed_logprobs"),
        (config.cache_config, "cache_dtype", "fp8"),
    ):
        before = getattr(part, field)
        setattr(part, field, value)
        try:
            VLLMRuntime.offline(llm)
        except ModelError as error:
            refused.append(str(error))
        setattr(part, field, before)
    return {"answers": answers, "refused": refused, "most": MAX_LOGPROB_TOKEN_IDS}


if __name__ == "__main__":
    os.environ |= VLLM
    print(json.dumps(main(Path(sys.argv[1]))))

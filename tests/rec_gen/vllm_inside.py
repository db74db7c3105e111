"""The search inside vLLM's worker: `python -m tests.rec_gen.vllm_inside BUNDLE OTHER`.

Prints JSON: what a worker says whose weights are packed for a CPU, and one whose weights are plain,
as they are on a GPU. OTHER is a bundle of the same shape with other weights.
"""

import json
import os
import sys
from typing import Any

from tests.rec_gen.decoding.vllm_search import CASES, HISTORIES
from tests.vllm_settings import VLLM


def main(bundle: str, other: str) -> dict[str, Any]:
    packed = _ask(bundle, other)
    from torch.nn.functional import linear
    from vllm.model_executor.layers import utils

    def leave(layer: Any, **_: bool) -> None:
        layer.cpu_linear = linear

    utils.dispatch_cpu_unquantized_gemm = leave
    return {"packed": packed, "plain": _ask(bundle, other)}


def _ask(bundle: str, other: str) -> dict[str, Any]:
    from vllm import LLM

    from rec_gen.errors import ModelError
    from rec_gen.vllm_worker import EXTENSION

    llm = LLM(
        f"{bundle}/model",
        skip_tokenizer_init=True,
        dtype="float32",
        enforce_eager=True,
        block_size=32,
        worker_extension_cls=EXTENSION,
    )
    (shared,) = llm.collective_rpc("recgen_load", args=(bundle,))
    cases = [case for case in CASES if "sampling" not in case]
    answers = [
        llm.collective_rpc("recgen_call", args=("recommend", [HISTORIES], case))[0]["found"]
        for case in cases
    ]
    (outside,) = llm.collective_rpc(_bytes_outside)
    try:
        llm.collective_rpc("recgen_load", args=(other,))
        refused = ""
    except ModelError as error:
        refused = str(error)
    return {"shared": shared, "answers": answers, "outside": outside, "refused": refused}


def _bytes_outside(worker: Any) -> int:
    """The bytes of the searching model's weights that are not vLLM's memory."""
    held = [weight.untyped_storage() for weight in worker.get_model().parameters()]
    spans = [(each.data_ptr(), each.data_ptr() + each.nbytes()) for each in held]
    weights = next(iter(worker.recgen_recommenders.values())).bundle.model.parameters()
    return sum(
        weight.nbytes
        for weight in weights
        if not any(start <= weight.data_ptr() < stop for start, stop in spans)
    )


if __name__ == "__main__":
    os.environ |= VLLM
    print(json.dumps(main(*sys.argv[1:])))

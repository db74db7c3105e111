"""Runs a `VLLMEngine` and prints what it answers, as JSON.

`python -m tests.serving.vllm_engine_run BUNDLE ADAPTER OTHER`; OTHER is a bundle of another model.
"""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rec_gen.answers import Answer
from rec_gen.catalog import Item
from rec_gen.decoding.sampling import Sampling
from rec_gen.errors import RecGenError
from rec_gen.index import Filters
from serving.queries import Options, Query
from tests.vllm_settings import VLLM

ADAPTER = "spring"
QUERIES = [
    Query(("i1", "i2"), filters=Filters(("i1", "i2"))),
    Query(("i1", "i2"), options=Options(k=4), adapter=ADAPTER),
    Query((), options=Options(k=3, sampling=Sampling(0.7, 5))),
    Query(("i5",), filters=Filters(allow=("i1", "i3")), adapter=ADAPTER),
    Query(("i5",), filters=Filters(where="brand == 'Brand A'"), options=Options(k=2)),
    Query(("i7",), options=Options(k=4, max_per=("brand", 1))),
    Query(words="kelp"),
    Query(("i5",), filters=Filters(allow=())),
    Query(("i5",), filters=Filters(where="price <")),
    Query(("i5",), filters=Filters(block=("nothing",)), adapter=ADAPTER),
    Query(("i5",), adapter="winter"),
]
NEW = Item("new", "Film 12 moss", {"brand": "Brand A"})


def told(answers: Sequence[Answer | RecGenError]) -> list[Any]:
    return [
        [type(one).__name__, str(one)]
        if isinstance(one, RecGenError)
        else {
            "items": [found.item.id for found in one],
            "scores": [found.score for found in one],
            "rest": [one.certified, one.version, one.prompt_tokens, one.answer_tokens],
        }
        for one in answers
    ]


async def main(bundle: Path, adapter: Path, other: Path) -> dict[str, Any]:
    from serving.vllm_engine import VLLMEngine

    options = {"enforce_eager": True, "max_lora_rank": 8}
    engine = await VLLMEngine.start(bundle, {ADAPTER: adapter}, **options)
    said: dict[str, Any] = {"models": engine.models, "name": engine.name}
    said["answers"] = told(await engine.answer(QUERIES))
    said["reasons"] = await engine.explain(["i1", "i2"], ["i4", "i7"])
    kept = []

    async def keep() -> None:
        kept.append(engine.version)

    said["version"] = await engine.update([NEW], ["i3"], {}, keep)
    said["kept"] = kept
    said["changed"] = told(await engine.answer(QUERIES[:4]))
    try:
        await engine.update([], ["nothing"], {})
    except RecGenError as error:
        said["refused"] = str(error)
    await engine.close()
    try:
        await VLLMEngine.start(bundle, enforce_eager=True, model=str(other / "model"))
    except RecGenError as error:
        said["other"] = str(error)
    return said


if __name__ == "__main__":
    os.environ |= {**VLLM, "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    print(json.dumps(asyncio.run(main(*map(Path, sys.argv[1:])))))

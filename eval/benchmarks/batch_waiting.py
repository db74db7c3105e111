"""A model of fixed cost: each reading of prompts also waits, and needs no core while it does.

Ray calls `wait` in each of its workers before anything else, where its job says so.
"""

import time
from collections.abc import Sequence

from rec_gen.decoding.transformers_runtime import TransformersRuntime, TreeSession

SECONDS = 2.0
"""A batch."""
HOOK = "eval.benchmarks.batch_waiting.wait"


def wait() -> None:
    """Make every model of this process wait."""
    read = TransformersRuntime.read

    def slow(self: TransformersRuntime, prompts: Sequence[Sequence[int]]) -> TreeSession:
        time.sleep(SECONDS)
        return read(self, prompts)

    TransformersRuntime.read = slow  # type: ignore[method-assign]

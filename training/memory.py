"""What to do when memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rec_gen.errors import ModelError


@contextmanager
def explain_out_of_memory(batch_size: int) -> Iterator[None]:
    """Turn a failed allocation, on CPU or CUDA, into advice.

    Raises:
        ModelError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        failed = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not failed and "allocate memory" not in str(error):
            raise
        raise ModelError(
            f"memory ran out with train.batch_size = {batch_size}: lower it and raise "
            "train.accumulation as much, set train.gradient_checkpointing = true, or lower "
            "prompt.max_tokens"
        ) from error

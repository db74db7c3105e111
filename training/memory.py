"""Memory of a training run: keeping it, and what to do when it runs out."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rec_gen.errors import ModelError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_NEVER = (1 << 31) - 1


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


def keep_freed_memory() -> None:
    """Let glibc keep what it frees, so that tensors of every step need no new pages.

    The pages of large tensors otherwise go back to the kernel and come again zeroed, which is as
    much as half of a step on a CPU. Does nothing where the C library is another.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            library.mallopt(option, _NEVER)

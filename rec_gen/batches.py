"""Which requests to read together: those of like length, and among them those that begin alike."""

from collections.abc import Sequence

STEP = 16
"""Lengths that differ by less than this many tokens are alike; then the beginning decides."""


def like_batches(
    lengths: Sequence[int], beginnings: Sequence[Sequence[int]], size: int
) -> list[list[int]]:
    """Cut requests into batches.

    Attention pads the prompts of a batch to one length, and reads the beginning that all of them
    share once; a cache of prefixes finds it still there in the next batch.

    Args:
        lengths: The tokens of each request, or what grows like them.
        beginnings: What each prompt begins with, in any units.
        size: Requests of a batch, at most.

    Returns:
        The indices of the requests of each batch, the shortest requests first.
    """
    order = sorted(range(len(lengths)), key=lambda n: (lengths[n] // STEP, *beginnings[n]))
    return [order[start : start + size] for start in range(0, len(order), size)]

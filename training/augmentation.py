"""Further training sequences, cut out of the given ones."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from rec_gen.data.dataset import Sequence

SHORTEST = 2
"""A shorter piece teaches nothing that another does not."""


def crop(sequences: Iterable[Sequence], times: int, seed: int) -> Iterator[Sequence]:
    """Cut random pieces out of each sequence, so that items are learnt from shorter histories too.

    A piece is contiguous; its place and its length are drawn alike (the crop of CL4SRec, Xie et
    al., 2022, without its contrast).

    Args:
        sequences: Each user's training interactions.
        times: Pieces of each; sequences that have no shorter piece give none.
        seed: Seeds the cuts.
    """
    rng = np.random.default_rng(seed)
    for sequence in sequences:
        length = len(sequence.items)
        if length <= SHORTEST:
            continue
        for size in rng.integers(SHORTEST, length, times):
            start = int(rng.integers(length - size + 1))
            piece = slice(start, start + int(size))
            yield replace(
                sequence,
                items=sequence.items[piece],
                targets=sequence.targets[piece],
                ages=sequence.ages[piece],
                ratings=None if sequence.ratings is None else sequence.ratings[piece],
                times=None if sequence.times is None else sequence.times[piece],
                reply=None,
            )

"""Hypothesis strategies that several test modules share."""

import numpy as np
from hypothesis import strategies as st

VOCABULARY = 6


@st.composite
def spellings(draw: st.DrawFn, max_items: int = 30) -> list[np.ndarray]:
    """Prefix-free spellings of one to `max_items` items over a few tokens."""
    token = st.integers(0, VOCABULARY - 1)
    paths = draw(st.lists(st.lists(token, min_size=1, max_size=5), min_size=1, max_size=max_items))
    kept: list[tuple[int, ...]] = []
    for path in map(tuple, paths):
        clashes = (a[: len(b)] == b for other in kept for a, b in ((path, other), (other, path)))
        if not any(clashes):
            kept.append(path)
    return [np.array(path, dtype=np.int32) for path in kept]

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from eval.exposure import exposure_shares, popularity_deviation

ITEMS, LONGEST = 7, 4
GROUPS = np.arange(ITEMS)[:, None] % 3 == np.arange(3)
lists_of = st.lists(
    st.lists(st.integers(0, ITEMS - 1), max_size=LONGEST, unique=True), min_size=1, max_size=6
)


def pad(lists: list[list[int]]) -> np.ndarray:
    return np.array([items + [-1] * (LONGEST - len(items)) for items in lists], np.int32)


@given(lists_of)
def test_exposure_falls_with_the_logarithm_of_the_place(lists: list[list[int]]) -> None:
    found = exposure_shares(pad(lists), GROUPS)
    for row, items in zip(found, lists, strict=True):
        if not items:
            assert np.isnan(row).all()
            continue
        exposed = [0.0] * 3
        for rank, item in enumerate(items, start=1):
            exposed[item % 3] += 1 / math.log2(rank + 1)
        assert row.tolist() == pytest.approx([each / sum(exposed) for each in exposed])


@given(lists_of, st.data())
def test_deviation_is_the_divergence_of_jensen_and_shannon(
    lists: list[list[int]], data: st.DataObject
) -> None:
    history = st.lists(st.integers(0, ITEMS - 1), max_size=9)
    histories = [data.draw(history) for _ in lists]
    found = popularity_deviation(
        pad(lists), [np.array(items, np.int32) for items in histories], GROUPS
    )
    for value, items, history_items in zip(found, lists, histories, strict=True):
        if not items or not history_items:
            assert math.isnan(value)
            continue
        both = [np.bincount(np.array(part) % 3, minlength=3) for part in (items, history_items)]
        assert value == pytest.approx(jensenshannon(*both, base=2) ** 2, abs=1e-9)
        assert -1e-12 <= value <= 1 + 1e-12

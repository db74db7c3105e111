import numpy as np
import pytest

from rec_gen.code_statistics import code_statistics

CODES = np.array([[0, 0], [0, 0], [0, 1], [1, 0]])


def test_codes_are_described() -> None:
    found = code_statistics(CODES, 4, [np.array([0, 1], np.int32), np.array([1], np.int32)])
    assert found.collisions == 0.5
    assert found.cold == 0.5
    assert found.used == (0.5, 0.5)
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert found.perplexity == pytest.approx((expected, expected))
    assert str(found) == (
        "semantic IDs: 2 x 4, collisions 50.0 % of items, cold items 50.0 % (no training "
        "interaction), codes in use 50/50 %"
    )


def test_even_codes_are_as_perplexing_as_they_are_many() -> None:
    found = code_statistics(np.arange(8)[:, None] % 4, 4, [])
    assert found.perplexity == pytest.approx((4,))
    assert found.used == (1,)
    assert found.cold == 1

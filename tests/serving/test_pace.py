import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.pace import Pace

seconds = st.floats(0.001, 10)
sizes = st.lists(st.integers(1, 256), min_size=2, max_size=30)


def test_nothing_is_known_at_first() -> None:
    assert Pace().expect(8) == 0


@given(st.integers(1, 256), seconds, st.integers(1, 256))
def test_of_one_size_another_is_expected_to_take_as_long(
    size: int, took: float, other: int
) -> None:
    pace = Pace()
    for _ in range(3):
        pace.observe(size, took)
    assert pace.expect(other) == pytest.approx(took)


@given(sizes.filter(lambda given: len(set(given)) > 1), seconds, seconds, st.integers(1, 256))
def test_a_line_is_found(given: list[int], fixed: float, each: float, size: int) -> None:
    pace = Pace()
    for one in given:
        pace.observe(one, fixed + each * one)
    assert pace.expect(size) == pytest.approx(fixed + each * size, rel=1e-3)


@given(st.lists(st.tuples(st.integers(1, 256), seconds), min_size=1), st.integers(1, 255))
def test_more_requests_never_take_less(batches: list[tuple[int, float]], size: int) -> None:
    pace = Pace()
    for one, took in batches:
        pace.observe(one, took)
    assert 0 <= pace.expect(size) <= pace.expect(size + 1) + 1e-9


def test_what_is_long_ago_is_forgotten() -> None:
    pace = Pace()
    for size in (1, 8):
        pace.observe(size, 100.0)
    for size in (1, 8) * 200:
        pace.observe(size, 0.01 * size)
    assert pace.expect(8) == pytest.approx(0.08, rel=0.01)

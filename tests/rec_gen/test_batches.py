"""Requests that are read together."""

from hypothesis import given
from hypothesis import strategies as st

from rec_gen.batches import STEP, like_batches

REQUESTS = st.lists(
    st.tuples(st.integers(0, 200), st.lists(st.integers(0, 3), max_size=4)), max_size=40
)


@given(REQUESTS, st.integers(1, 9))
def test_every_request_is_read_once_beside_those_like_it(
    requests: list[tuple[int, list[int]]], size: int
) -> None:
    lengths = [length for length, _ in requests]
    batches = like_batches(lengths, [begins for _, begins in requests], size)
    order = [place for batch in batches for place in batch]
    assert sorted(order) == list(range(len(requests)))
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(batches)
    steps = [lengths[place] // STEP for place in order]
    assert steps == sorted(steps)
    for step in set(steps):
        alike = [requests[place][1] for place in order if lengths[place] // STEP == step]
        assert alike == sorted(alike)

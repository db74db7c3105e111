"""What a list of several catalogs promises."""

from hypothesis import given
from hypothesis import strategies as st

from rec_gen.quotas import interleave


@given(st.dictionaries(st.text(max_size=2), st.integers(1, 9), min_size=1, max_size=4))
def test_a_beginning_is_shared_out_as_the_whole(quota: dict[str, int]) -> None:
    mixed = interleave({name: list(range(count)) for name, count in quota.items()})
    assert len(mixed) == sum(quota.values())
    given_out = dict.fromkeys(quota, 0)
    for length, (name, entry) in enumerate(mixed, start=1):
        assert entry == given_out[name]
        given_out[name] += 1
        for other, count in quota.items():
            fair = length * count / len(mixed)
            assert abs(given_out[other] - fair) <= max(1, len(quota) / 2)

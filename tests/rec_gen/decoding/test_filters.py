import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import NoEligibleItemError
from tests.strategies import spellings


@given(spellings(), st.data())
def test_counts_and_first_leaves_are_those_counted_one_by_one(
    catalog: list[np.ndarray], data: st.DataObject
) -> None:
    size = len(catalog)
    item, flag = st.integers(0, size - 1), st.booleans()
    eligible = data.draw(st.none() | st.lists(flag, min_size=size, max_size=size))
    excluded = data.draw(st.lists(st.lists(item), min_size=1, max_size=4))
    trie = CatalogTrie.build(catalog)
    allowed = [
        [(eligible is None or eligible[leaf]) and leaf not in row for leaf in trie.items.tolist()]
        for row in excluded
    ]
    shared = LeafFilter(trie, None if eligible is None else torch.tensor(eligible))
    empty = [request for request, row in enumerate(allowed) if not any(row)]
    if empty:
        with pytest.raises(NoEligibleItemError) as caught:
            EligibleLeaves(shared, excluded)
        assert caught.value.request == empty[0]
        return
    leaves = EligibleLeaves(shared, excluded)
    ranges = [
        (request, start, stop)
        for request in range(len(excluded))
        for start in range(size + 1)
        for stop in range(start, size + 1)
    ]
    counts = [sum(allowed[request][start:stop]) for request, start, stop in ranges]
    assert leaves.count(*torch.tensor(ranges).T).tolist() == counts
    holding = [place for place, count in zip(ranges, counts, strict=True) if count]
    firsts = [start + allowed[request][start:stop].index(True) for request, start, stop in holding]
    assert leaves.first(*torch.tensor(holding).T).tolist() == firsts

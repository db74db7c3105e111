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


@given(spellings(), st.data())
def test_a_filter_for_each_request_counts_as_if_it_were_alone(
    catalog: list[np.ndarray], data: st.DataObject
) -> None:
    size = len(catalog)
    masks = st.lists(st.booleans(), min_size=size, max_size=size).filter(any)
    trie = CatalogTrie.build(catalog)
    several = [
        LeafFilter(trie, torch.tensor(data.draw(masks)))
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    which = data.draw(st.lists(st.sampled_from(several), min_size=1, max_size=4))
    excluded = [data.draw(st.lists(st.integers(0, size - 1), max_size=1)) for _ in which]
    alone, empty = [], []
    for request, (own, gone) in enumerate(zip(which, excluded, strict=True)):
        try:
            alone.append(EligibleLeaves(own, [gone]))
        except NoEligibleItemError:
            empty.append(request)
    if empty:
        with pytest.raises(NoEligibleItemError) as caught:
            EligibleLeaves(which, excluded)
        assert caught.value.request == empty[0]
        return
    together = EligibleLeaves(which, excluded)
    start, stop = torch.triu_indices(size + 1, size + 1)
    for request, leaves in enumerate(alone):
        found = together.count(torch.full_like(start, request), start, stop)
        assert found.tolist() == leaves.count(torch.zeros_like(start), start, stop).tolist()
        assert bool((together.shared[together.filter_of[request]] == leaves.shared[0]).all())
    assert together.total == sum(leaves.total for leaves in alone)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import SpellingError
from tests.strategies import spellings


def walk(trie: CatalogTrie, node: int = 0) -> dict[tuple[int, ...], int]:
    """Every path from a node to a leaf, with the item there."""
    children = range(int(trie.child_start[node]), int(trie.child_stop[node]))
    if not children:
        return {(): int(trie.items[trie.leaf_start[node]])}
    return {
        (int(trie.tokens[child]), *path): item
        for child in children
        for path, item in walk(trie, child).items()
    }


@given(spellings())
def test_spells_exactly_the_catalog(catalog: list[np.ndarray]) -> None:
    spelled = {tuple(map(int, tokens)): item for item, tokens in enumerate(catalog)}
    assert walk(CatalogTrie.build(catalog)) == spelled


@given(spellings())
def test_each_node_owns_the_leaves_below_it(catalog: list[np.ndarray]) -> None:
    trie = CatalogTrie.build(catalog)
    for node in range(len(trie.tokens)):
        owned = trie.items[trie.leaf_start[node] : trie.leaf_stop[node]].tolist()
        assert sorted(walk(trie, node).values()) == sorted(owned)


@given(spellings(), st.data())
def test_refuses_a_spelling_that_begins_another(
    catalog: list[np.ndarray], data: st.DataObject
) -> None:
    longer = data.draw(st.sampled_from(catalog))
    shorter = longer[: data.draw(st.integers(1, len(longer)))]
    with pytest.raises(SpellingError, match="none may begin with another"):
        CatalogTrie.build([*catalog, shorter])


@pytest.mark.parametrize("catalog", [[], [np.array([], np.int32)]])
def test_refuses_nothing_to_spell(catalog: list[np.ndarray]) -> None:
    with pytest.raises(SpellingError, match="empty"):
        CatalogTrie.build(catalog)

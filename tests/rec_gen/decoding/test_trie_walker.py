import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.decoding.trie import CatalogTrie
from rec_gen.decoding.trie_walker import TrieWalker
from tests.strategies import VOCABULARY, spellings

prefixes = st.lists(st.integers(0, VOCABULARY - 1), max_size=6)


@given(spellings(), prefixes)
def test_what_may_follow_is_what_goes_on(catalog: list[np.ndarray], free: list[int]) -> None:
    walker = TrieWalker(CatalogTrie.build(catalog))
    spelled = [tuple(map(int, tokens)) for tokens in catalog]
    known = {path[:depth] for path in spelled for depth in range(len(path) + 1)}
    for prefix in {*known, tuple(free), (*spelled[0], 0)}:
        following = {p[len(prefix)] for p in spelled if p[: len(prefix)] == prefix != p}
        assert walker.next_tokens(prefix).tolist() == sorted(following)
        assert walker.next_tokens(list(prefix)).dtype == np.int32


@given(spellings())
def test_knows_its_tokens_and_its_longest_spelling(catalog: list[np.ndarray]) -> None:
    walker = TrieWalker(CatalogTrie.build(catalog))
    assert walker.longest == max(map(len, catalog))
    assert walker.tokens.tolist() == sorted({int(token) for path in catalog for token in path})

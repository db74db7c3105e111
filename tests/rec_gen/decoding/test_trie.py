from pathlib import Path
from tempfile import TemporaryDirectory
from tracemalloc import get_traced_memory, start, stop

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import BundleError, SpellingError
from tests.strategies import spellings


def walk(trie: CatalogTrie, node: int = 0) -> dict[tuple[int, ...], int]:
    """Every path from a node to a leaf, with the item there."""
    paths = {}
    begin = int(trie.run_start[node])
    for edge in range(int(trie.edge_start[node]), int(trie.edge_start[node + 1])):
        end = begin + int(trie.run_length[edge])
        taken = (int(trie.token[edge]), *trie.runs[begin:end].tolist())
        target, begin = int(trie.target[edge]), end
        below = {(): int(trie.items[~target])} if target < 0 else walk(trie, target)
        paths.update({(*taken, *path): item for path, item in below.items()})
    return paths


@given(spellings())
def test_spells_exactly_the_catalog(catalog: list[np.ndarray]) -> None:
    spelled = {tuple(map(int, tokens)): item for item, tokens in enumerate(catalog)}
    assert walk(CatalogTrie.build(catalog)) == spelled


@given(spellings())
def test_nodes_below_the_root_branch_and_own_their_leaves(catalog: list[np.ndarray]) -> None:
    trie = CatalogTrie.build(catalog)
    for node in range(len(trie.leaf_start)):
        owned = trie.items[trie.leaf_start[node] : trie.leaf_stop[node]].tolist()
        assert sorted(walk(trie, node).values()) == sorted(owned)
        assert node == 0 or trie.edge_start[node + 1] - trie.edge_start[node] > 1


@given(spellings())
def test_loads_what_it_saved(catalog: list[np.ndarray]) -> None:
    with TemporaryDirectory() as folder:
        trie = CatalogTrie.build(catalog)
        trie.save(Path(folder) / "trie")
        assert walk(CatalogTrie.load(Path(folder) / "trie")) == walk(trie)


def test_refuses_truncated_damaged_and_foreign_files(tmp_path: Path) -> None:
    file = tmp_path / "trie"
    CatalogTrie.build([np.array([1, 2], np.int32), np.array([1, 3], np.int32)]).save(file)
    content = file.read_bytes()
    for spoilt, message in (
        (content[:-1], "cannot be read"),
        (content[:-1] + bytes([content[-1] ^ 1]), "is damaged"),
        (b"something else", "cannot be read"),
    ):
        file.write_bytes(spoilt)
        with pytest.raises(BundleError, match=message):
            CatalogTrie.load(file)
    save_file({"items": torch.zeros(1)}, file)
    with pytest.raises(BundleError, match="is not a rec_gen-trie-1 file"):
        CatalogTrie.load(file)


@given(spellings(), st.data())
def test_refuses_a_file_cut_anywhere_or_with_one_changed_byte(
    catalog: list[np.ndarray], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trie"
        CatalogTrie.build(catalog).save(file)
        content = bytearray(file.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        file.write_bytes(content[:place])
        with pytest.raises(BundleError):
            CatalogTrie.load(file)
        content[place] ^= data.draw(st.integers(1, 255))
        file.write_bytes(content)
        try:
            loaded = CatalogTrie.load(file)
        except BundleError:
            return
        assert walk(loaded) == walk(CatalogTrie.build(catalog))  # the byte said nothing


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


def test_refuses_a_negative_token() -> None:
    with pytest.raises(SpellingError, match="item 1 is spelled with the token -1"):
        CatalogTrie.build([np.array([1, 2], np.int32), np.array([3, -1], np.int32)])


def test_one_long_spelling_costs_no_more_than_its_tokens() -> None:
    short = [np.array([first, second], np.int32) for first in range(50) for second in range(50)]
    start()
    try:
        trie = CatalogTrie.build([*short, np.arange(50, 5000, dtype=np.int32)])
        peak = get_traced_memory()[1]
    finally:
        stop()
    assert len(trie) == 2501
    assert peak < 5_000_000

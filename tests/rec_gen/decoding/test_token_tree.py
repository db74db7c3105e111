import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.decoding.token_tree import NOWHERE, ROWS, Block, TokenTree


def sights(blocks: list[Block]) -> list[set[int]]:
    """Which slots each token of a reading sees."""
    seen = {}
    for block in blocks:
        for row, place in zip(block.seen, range(block.rows.start, block.rows.stop), strict=True):
            seen[place] = set(block.columns[row].tolist())
    assert sorted(seen) == list(range(len(seen)))
    return [seen[place] for place in range(len(seen))]


@given(st.data())
def test_a_token_sees_its_path_and_nothing_else(data: st.DataObject) -> None:
    lengths = st.lists(st.sampled_from([1, 2, 3, 130, 300]), min_size=1, max_size=4)
    common = data.draw(st.sampled_from([0, 1, 5]))
    rest = data.draw(lengths)
    tree, before = TokenTree(), {NOWHERE: NOWHERE}
    for growth in range(data.draw(st.integers(1, 4))):
        if growth:
            sizes = data.draw(lengths)
            parents = [
                data.draw(st.integers(common, known - 1))
                for known in np.cumsum([len(before) - 1, *sizes[:-1]]).tolist()
            ]
        else:
            sizes = [common] * bool(common) + rest
            parents = [NOWHERE] * bool(common) + [common - 1] * len(rest)
        slots, blocks = tree.grow(parents, sizes, prompts=not growth)
        slot = slots.start
        for parent, size in zip(parents, sizes, strict=True):
            above = parent
            for _ in range(size):
                before[slot], above, slot = above, slot, slot + 1
        for place, seen in enumerate(sights(blocks)):
            path, slot = set(), slots.start + place
            while slot != NOWHERE:
                path.add(slot)
                slot = before[slot]
            assert seen == path
            assert tree.depths[slots.start + place] == len(path) - 1
        assert all(block.rows.stop - block.rows.start <= ROWS for block in blocks)


def test_prompts_share_no_block() -> None:
    tree = TokenTree()
    tree.grow([NOWHERE, 1, 1], [2, 3, 3], prompts=True)
    _, blocks = tree.grow([4, 7, 7], [1, 1, 2])
    assert [(block.rows.start, block.rows.stop) for block in blocks] == [(0, 1), (1, 4)]
    assert [block.columns.tolist() for block in blocks] == [
        [0, 1, 2, 3, 4, 8],
        [0, 1, 5, 6, 7, 9, 10, 11],
    ]

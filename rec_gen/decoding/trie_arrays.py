"""Building the arrays of a trie with vectorised numpy; see `rec_gen.decoding.trie`."""

import numpy as np
import numpy.typing as npt

from rec_gen.errors import SpellingError

Ints = npt.NDArray[np.int64]

LONGEST = np.iinfo(np.int16).max


def trie_arrays(flat: npt.NDArray[np.int32], lengths: Ints) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of a trie, by the name of its attribute.

    Args:
        flat: All token ids, spelling after spelling.
        lengths: The length of each spelling, by catalog position.

    Raises:
        SpellingError: A spelling is empty or too long or has a negative token, two items share
            one, or one begins with another.
    """
    if lengths.max() > LONGEST:
        raise SpellingError(f"item {int(lengths.argmax())} is spelled with over {LONGEST} tokens")
    if not lengths.all():
        raise SpellingError(f"item {int(lengths.argmin())} has an empty spelling")
    begins = lengths.cumsum() - lengths
    if flat.min() < 0:
        item = int(begins.searchsorted(int(flat.argmin()), "right")) - 1
        raise SpellingError(f"item {item} is spelled with the token {flat.min()}; ids start at 0")
    order, common = _sort(flat, begins, lengths)
    begins, lengths = begins[order], lengths[order]
    clashes = np.flatnonzero(common[1:] == lengths[:-1])
    if clashes.size:
        first, second = (int(order[clashes[0] + step]) for step in (0, 1))
        raise SpellingError(
            f"the spelling of item {first} equals, or begins, that of item {second}: "
            "every item needs a spelling of its own, and none may begin with another"
        )
    return _assemble(flat, begins, lengths, order, common)


def _sort(flat: npt.NDArray[np.int32], begins: Ints, lengths: Ints) -> tuple[Ints, Ints]:
    """The sorted order, and how many tokens each spelling shares with the one before it."""
    by_length = lengths.argsort(kind="stable")
    bounds = lengths[by_length].searchsorted(np.arange(1, int(lengths.max()) + 2))
    order = by_length[:0]
    for depth in reversed(range(len(bounds) - 1)):
        # those that end here come before those that go on
        order = np.concatenate([by_length[bounds[depth] : bounds[depth + 1]], order])
        order = order[flat[begins[order] + depth].argsort(kind="stable")]
    return order, _common(flat, begins[order], lengths[order])


def _common(flat: npt.NDArray[np.int32], begins: Ints, lengths: Ints) -> Ints:
    """How many tokens each of some sorted spellings shares with the one before it."""
    common = np.zeros(len(begins), np.int64)
    shorter = np.minimum(lengths[1:], lengths[:-1])
    same, depth = np.arange(1, len(begins)), 0
    while same.size:
        same = same[shorter[same - 1] > depth]
        same = same[flat[begins[same] + depth] == flat[begins[same - 1] + depth]]
        common[same] += 1
        depth += 1
    return common


def _assemble(
    flat: npt.NDArray[np.int32], begins: Ints, lengths: Ints, order: Ints, common: Ints
) -> dict[str, npt.NDArray[np.generic]]:
    """Number the branching nodes depth by depth: ranges of spellings that split there."""
    leaves = len(order)
    node_start, node_stop, node_depth, edge_rows, edge_counts = [], [], [], [], []
    for depth in range(int(common.max(initial=0)) + 1):
        splits = np.flatnonzero(common[1:] == depth) + 1
        bounds = np.append(np.flatnonzero(common < depth) if depth else 0, leaves)
        owners, counts = np.unique(bounds.searchsorted(splits, "right") - 1, return_counts=True)
        if depth == 0 and not splits.size:
            owners, counts = np.array([0]), np.array([0])  # the root, even if it does not branch
        node_start.append(bounds[owners])
        node_stop.append(bounds[owners + 1])
        node_depth.append(np.full(len(owners), depth))
        edge_rows.append(np.sort(np.concatenate([bounds[owners], splits])))
        edge_counts.append(counts + 1)
    start, stop, depth_of = map(np.concatenate, (node_start, node_stop, node_depth))
    rows, counts = np.concatenate(edge_rows), np.concatenate(edge_counts)
    owner = np.repeat(np.arange(len(start)), counts)
    last = np.append(owner[1:] != owner[:-1], True)
    edge_stop = np.where(last, stop[owner], np.append(rows[1:], 0))
    target, end = _targets(rows, edge_stop, start, stop, depth_of, lengths)
    first = depth_of[owner]
    run_lengths = end - first - 1
    run_starts = run_lengths.cumsum() - run_lengths
    shift = np.repeat(begins[rows] + first + 1 - run_starts, run_lengths)
    edge_start = np.append(0, counts.cumsum())
    arrays = {
        "items": order,
        "edge_start": edge_start,
        "leaf_start": start,
        "leaf_stop": stop,
        "token": flat[begins[rows] + first],
        "target": target,
        "run_start": run_starts[edge_start[:-1]],
        "run_length": run_lengths.astype(np.int16),
        "runs": flat[np.arange(len(shift)) + shift],
    }
    return {
        name: array if array.dtype == np.int16 else array.astype(np.int32)
        for name, array in arrays.items()
    }


def _targets(
    rows: Ints, edge_stop: Ints, start: Ints, stop: Ints, depth_of: Ints, lengths: Ints
) -> tuple[Ints, Ints]:
    """What each edge leads to, and the depth at which it arrives there."""
    target, end = ~rows, lengths[rows].copy()
    inner = np.flatnonzero(edge_stop - rows > 1)
    size = int(stop.max()) + 1
    keys = start[1:] * size + stop[1:]  # no two nodes below the root own the same range
    by_key = keys.argsort()
    wanted = rows[inner] * size + edge_stop[inner]
    child = 1 + by_key[np.searchsorted(keys, wanted, sorter=by_key)]
    target[inner], end[inner] = child, depth_of[child]
    return target, end

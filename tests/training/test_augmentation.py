import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.data.dataset import Sequence
from training.augmentation import SHORTEST, crop


def sequence(length: int, user: str = "u", *, rated: bool = True) -> Sequence:
    places = np.arange(length)
    ages = (places / max(1, length)).astype(np.float32)
    ratings = places.astype(np.float32) if rated else None
    return Sequence(user, places.astype(np.int32), places % 3 > 0, ages, ratings)


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_pieces_are_proper_runs_of_their_sequence(
    lengths: list[int], times: int, seed: int
) -> None:
    whole = [sequence(length, f"u{index}") for index, length in enumerate(lengths)]
    pieces = list(crop(whole, times, seed))
    assert len(pieces) == times * sum(length > SHORTEST for length in lengths)
    for piece in pieces:
        source = whole[int(piece.user[1:])]
        start, size = int(piece.items[0]), len(piece.items)
        assert SHORTEST <= size < len(source.items)
        for mine, theirs in (
            (piece.items, source.items),
            (piece.targets, source.targets),
            (piece.ages, source.ages),
            (piece.ratings, source.ratings),
        ):
            assert mine is not None
            assert theirs is not None
            assert mine.tolist() == theirs[start : start + size].tolist()


def test_pieces_without_ratings_have_none() -> None:
    assert all(piece.ratings is None for piece in crop([sequence(5, rated=False)], 3, seed=0))


def test_every_run_is_drawn_and_a_seed_draws_the_same() -> None:
    pieces = list(crop([sequence(4)], 200, seed=1))
    assert {tuple(piece.items.tolist()) for piece in pieces} == {
        (0, 1), (1, 2), (2, 3), (0, 1, 2), (1, 2, 3),
    }  # fmt: skip
    again = crop([sequence(4)], 200, seed=1)
    assert all((one.items == other.items).all() for one, other in zip(pieces, again, strict=True))
    sizes = [len(piece.items) for piece in pieces]
    assert np.mean(np.array(sizes) == SHORTEST) == pytest.approx(0.5, abs=0.1)

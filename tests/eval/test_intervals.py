import numpy as np

from eval.intervals import Interval, mean_intervals


def users_of(sizes: np.ndarray) -> list[str]:
    return [str(user) for user, size in enumerate(sizes) for _ in range(size)]


def test_intervals_cover_the_true_mean_when_a_users_examples_go_together() -> None:
    generator = np.random.default_rng(0)
    trials, covered = 200, 0
    for trial in range(trials):
        sizes = generator.integers(1, 5, size=150)
        tastes = np.repeat(generator.beta(1, 3, size=150), sizes)
        hits = (generator.random(len(tastes)) < tastes).astype(float)
        (interval,) = mean_intervals(hits[:, None], users_of(sizes), trial)
        covered += interval.low <= 0.25 <= interval.high
    assert 0.90 <= covered / trials <= 0.985


def test_examples_of_one_user_count_as_one_draw() -> None:
    values = np.random.default_rng(0).random((100, 1))
    (apart,) = mean_intervals(values, users_of(np.ones(100, int)), 0)
    (together,) = mean_intervals(np.repeat(values, 4, axis=0), users_of(np.full(100, 4)), 0)
    np.testing.assert_allclose((together.low, together.high), (apart.low, apart.high), rtol=1e-12)


def test_the_order_of_examples_and_of_columns_does_not_matter() -> None:
    generator = np.random.default_rng(1)
    values, users = generator.random((60, 3)), users_of(np.full(20, 3))
    order = generator.permutation(60)
    shuffled = mean_intervals(values[order][:, ::-1], [users[place] for place in order], 7)
    for one, other in zip(mean_intervals(values, users, 7), reversed(shuffled), strict=True):
        np.testing.assert_allclose(
            (one.mean, one.low, one.high), (other.mean, other.low, other.high), rtol=1e-12
        )


def test_the_seed_decides_the_interval_and_a_constant_has_none() -> None:
    values, users = np.random.default_rng(2).random((50, 1)), users_of(np.ones(50, int))
    assert mean_intervals(values, users, 0) == mean_intervals(values, users, 0)
    assert mean_intervals(values, users, 0) != mean_intervals(values, users, 1)
    assert mean_intervals(np.ones((50, 1)), users, 0) == [Interval(1, 1, 1)]


def test_pairing_shows_a_small_steady_difference_that_two_intervals_hide() -> None:
    generator = np.random.default_rng(3)
    theirs, users = generator.random((200, 1)), users_of(np.ones(200, int))
    ours = theirs + 0.01 + generator.normal(0, 0.01, theirs.shape)
    (difference,) = mean_intervals(ours - theirs, users, 0)
    (own,), (other,) = mean_intervals(ours, users, 0), mean_intervals(theirs, users, 0)
    assert difference.low > 0
    assert own.low < other.high


def test_examples_without_a_value_are_left_out_of_their_column_alone() -> None:
    generator = np.random.default_rng(4)
    values, users = generator.random((60, 3)), users_of(np.full(20, 3))
    holes = values.copy()
    holes[::3, 1], holes[:, 2] = np.nan, np.nan
    whole, part, none = mean_intervals(holes, users, 0)
    kept = np.arange(60) % 3 > 0
    (first, *_) = mean_intervals(values, users, 0)
    (_, second, _) = mean_intervals(values[kept], [users[row] for row in np.flatnonzero(kept)], 0)
    assert (whole, part) == (first, second)
    assert np.isnan([none.mean, none.low, none.high]).all()

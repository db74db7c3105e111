import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eval.intervals import mean_intervals, user_sums
from eval.significance import FLIPS, compare, detectable_differences, holm, randomization_test
from rec_gen.errors import ConfigError
from rec_gen.metrics import Floats, Ranks, ndcg

TRIALS = 1000
families = st.lists(st.floats(0, 1), min_size=1, max_size=8).map(np.array)


def runs_of_one_system(users: int, seed: int) -> tuple[Floats, list[str]]:
    """What pairs of runs that differ by noise alone differ by in NDCG@10.

    A user has one to four examples, and a run is lucky or unlucky with all of them together.

    Returns:
        float64 [n, trials], and the n users.
    """
    generator = np.random.default_rng(seed)
    owners = np.repeat(np.arange(users), generator.integers(1, 5, size=users))
    ease = generator.normal(size=users)[owners][:, None]

    def run() -> Floats:
        luck = generator.normal(size=(users, TRIALS))[owners]
        noise = generator.normal(size=luck.shape) / 2
        places = np.floor(np.exp(2 - ease + luck + noise))
        return ndcg(Ranks.of_places(places.ravel()), 10).reshape(luck.shape)

    return run() - run(), [str(owner) for owner in owners]


def called_different(differences: Floats, users: list[str]) -> int:
    return int((randomization_test(differences, users, 0) <= 0.05).sum())


def leaving_out_zero(differences: Floats, users: list[str]) -> int:
    found = mean_intervals(differences, users, 0)
    return sum(not interval.low <= 0 <= interval.high for interval in found)


def expected_counts(share: float) -> tuple[int, int]:
    low, high = stats.binom.interval(0.99, TRIALS, share)
    return int(low), int(high)


@pytest.mark.parametrize("users", [20, 200])
def test_a_system_differs_from_itself_in_5_percent_of_comparisons(users: int) -> None:
    differences, owners = runs_of_one_system(users, seed=users)
    low, high = expected_counts(0.05)
    assert low <= called_different(differences, owners) <= high
    bootstrap = leaving_out_zero(differences, owners)
    assert bootstrap > high if users == 20 else low <= bootstrap <= high


def test_examples_taken_for_users_would_call_a_system_different_from_itself_too_often() -> None:
    differences, owners = runs_of_one_system(200, seed=0)
    apart = [str(row) for row in range(len(owners))]
    assert called_different(differences, apart) > 2 * expected_counts(0.05)[1]


def test_a_detectable_difference_is_found_in_80_percent_of_comparisons() -> None:
    differences, owners = runs_of_one_system(60, seed=0)
    detectable = detectable_differences(differences, owners)
    low, high = expected_counts(0.8)
    assert low <= called_different(differences + detectable.mean(), owners) <= high


def test_p_values_are_those_of_scipy_over_all_flips() -> None:
    generator = np.random.default_rng(0)
    tenths = generator.integers(-3, 5, size=(24, 50)).astype(np.float64)
    users = [str(row % 10) for row in range(24)]
    sums, _ = user_sums(tenths, users)
    exact = stats.permutation_test(
        (sums,), np.sum, permutation_type="samples", vectorized=True, n_resamples=np.inf, axis=0
    ).pvalue
    spread = np.sqrt(exact * (1 - exact) / FLIPS)
    assert exact.min() < 0.05
    found = randomization_test(tenths / 10, users, 1)
    assert (np.abs(found - exact) <= 4 * spread + 1 / FLIPS).all()


def test_a_p_value_is_never_0_and_equal_systems_have_1() -> None:
    users = [str(row) for row in range(50)]
    columns = np.array([1.0, -1.0, 0.0]) * np.ones((50, 1))
    assert randomization_test(columns, users, 0).tolist() == [1 / (FLIPS + 1)] * 2 + [1]


def test_p_values_depend_on_the_seed_alone() -> None:
    differences, users = runs_of_one_system(300, seed=3)
    differences, order = differences[:, :4], np.random.default_rng(1).permutation(len(users))
    found = randomization_test(differences, users, 0)
    shuffled = randomization_test(-differences[order], [users[row] for row in order], 0)
    np.testing.assert_array_equal(found, shuffled)
    assert (found != randomization_test(differences, users, 1)).any()


def test_holm_by_hand() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, 0.02])


@given(families, st.floats(0.001, 0.2))
def test_holm_rejects_what_its_steps_reject(p: Floats, level: float) -> None:
    rejected: set[int] = set()
    for place, index in enumerate(np.argsort(p, kind="stable").tolist()):
        if p[index] * (len(p) - place) > level:
            break
        rejected.add(index)
    assert set(np.flatnonzero(holm(p) <= level).tolist()) == rejected


@given(families)
def test_holm_keeps_the_order_of_p_values_and_never_lowers_one(p: Floats) -> None:
    adjusted = holm(p)
    assert (p <= adjusted).all()
    assert (adjusted <= np.minimum(p * len(p), 1)).all()
    order = np.argsort(p)
    assert (np.diff(adjusted[order]) >= 0).all()
    np.testing.assert_array_equal(holm(p[::-1]), adjusted[::-1])


def test_the_detectable_difference_is_that_of_a_paired_t_test() -> None:
    differences = np.random.default_rng(0).normal(size=(30, 2))
    users = [str(row) for row in range(30)]
    reach = stats.t.ppf(0.975, 29) + stats.t.ppf(0.8, 29)
    expected = stats.sem(differences) * reach
    np.testing.assert_allclose(detectable_differences(differences, users), expected, rtol=1e-9)
    again = detectable_differences(np.repeat(differences, 4, axis=0), np.repeat(users, 4).tolist())
    np.testing.assert_allclose(again, expected, rtol=1e-9)
    assert np.isnan(detectable_differences(differences[:5], ["one"] * 5)).all()
    corrected = stats.sem(differences) * (stats.t.ppf(1 - 0.005, 29) + stats.t.ppf(0.8, 29))
    found = detectable_differences(differences, users, 0.01)
    np.testing.assert_allclose(found, corrected, rtol=1e-9)
    assert (found > expected).all()


@pytest.mark.parametrize("gain", [0.0, 0.1, -1 / 3])
def test_where_all_users_differ_by_the_same_nothing_is_said_of_what_is_detectable(
    gain: float,
) -> None:
    users = [str(row // 2) for row in range(60)]
    assert np.isnan(detectable_differences(np.full((60, 1), gain), users)).all()


def test_a_comparison_is_paired_with_the_reference() -> None:
    generator = np.random.default_rng(0)
    users = [str(row // 2) for row in range(120)]
    theirs = generator.random(120)
    shifts = {"same": 0.0, "better": 0.02, "worse": -0.02}
    values = {
        name: theirs + shift + generator.normal(0, 0.02, 120) for name, shift in shifts.items()
    }
    columns = {name: each[:, None] for name, each in values.items()}
    compared = compare({"theirs": theirs[:, None]} | columns, "theirs", users, 5)
    found = {name: comparison for name, (comparison,) in compared.items()}
    assert list(found) == list(values)
    assert found["better"].p_holm < 0.05 < found["same"].p
    assert found["better"].low > 0 > found["worse"].high
    p = np.array([comparison.p for comparison in found.values()])
    assert [comparison.p_holm for comparison in found.values()] == holm(p).tolist()
    for name, comparison in found.items():
        differences = (values[name] - theirs)[:, None]
        (interval,) = mean_intervals(differences, users, 5)
        assert (comparison.low, comparison.high) == pytest.approx((interval.low, interval.high))
        assert comparison.mean == pytest.approx(differences.mean())
        assert comparison.p == randomization_test(differences, users, 5)
        (detectable,) = detectable_differences(differences, users, 0.05 / 3)
        assert comparison.detectable == pytest.approx(detectable)
        assert comparison.level == pytest.approx(0.05 / 3)


def test_examples_without_a_value_in_either_system_are_left_out() -> None:
    generator = np.random.default_rng(1)
    users = [str(row // 3) for row in range(90)]
    values = {name: generator.random((90, 1)) for name in ("ours", "theirs")}
    kept = np.arange(90) % 3 > 0
    alone = {name: column[kept] for name, column in values.items()}
    expected = compare(alone, "theirs", [users[row] for row in np.flatnonzero(kept)], 0)
    for system in values:
        holes = values | {system: np.where(kept[:, None], values[system], np.nan)}
        assert compare(holes, "theirs", users, 0) == expected


def test_a_reference_must_be_a_system_and_needs_others() -> None:
    values = {"ours": np.ones((3, 1))}
    assert compare(values, "ours", list("abc"), 0) == {}
    with pytest.raises(ConfigError, match="no system is named 'theirs'; take ours"):
        compare(values, "theirs", list("abc"), 0)

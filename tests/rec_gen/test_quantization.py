import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gen.quantization import assign, balanced_kmeans, residual_kmeans


@pytest.mark.parametrize("balanced", [False, True])
def test_each_level_quantises_what_the_last_left_over(balanced: bool) -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    errors = []
    for levels in (1, 2, 3):
        codes = residual_kmeans(vectors, levels, 8, seed=0, balanced=balanced)
        assert codes.shape == (300, levels)
        assert codes.min() >= 0
        assert codes.max() < 8
        groups = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
        means = np.stack([vectors[groups == g].mean(axis=0) for g in range(groups.max() + 1)])
        errors.append(float(((vectors - means[groups]) ** 2).mean()))
    assert errors[0] > errors[1] > errors[2]
    again = residual_kmeans(vectors, 3, 8, seed=0, balanced=balanced)
    assert (again == codes).all()


@settings(deadline=None, max_examples=50)
@given(
    items=st.integers(2, 60),
    clusters=st.integers(1, 60),
    kinds=st.integers(1, 60),
    seed=st.integers(0, 1000),
)
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_every_item_gets_one_of_equal_clusters(
    items: int, clusters: int, kinds: int, seed: int
) -> None:
    """Also where many vectors are the same, or all of them."""
    clusters = min(items, clusters)
    rng = np.random.default_rng(seed)
    kind = rng.lognormal(size=(kinds, 3)).astype(np.float32)
    vectors = kind[rng.integers(kinds, size=items)]
    labels, means = balanced_kmeans(vectors, clusters, seed)
    sizes = np.bincount(labels, minlength=clusters)
    assert labels.shape == (items,)
    assert sizes.shape == (clusters,)
    assert sizes.max() - sizes.min() <= 1
    for cluster in range(clusters):
        assert means[cluster] == pytest.approx(vectors[labels == cluster].mean(axis=0), rel=1e-4)


@settings(deadline=None)
@given(
    seats=st.lists(st.integers(0, 5), min_size=1, max_size=8).filter(sum),
    seed=st.integers(0, 1000),
)
def test_no_item_could_take_a_better_place_from_a_dearer_one(seats: list[int], seed: int) -> None:
    capacities = np.array(seats)
    items = np.arange(capacities.sum())
    costs = np.random.default_rng(seed).normal(size=(len(items), len(seats))).astype(np.float32)
    labels = assign(costs, capacities)
    assert (np.bincount(labels, minlength=len(seats)) == capacities).all()
    paid = costs[items, labels]
    for item, cluster in np.argwhere(costs < paid[:, None]):
        assert (paid[labels == cluster] <= costs[item, cluster]).all()


def test_balanced_clusters_are_those_that_the_data_has() -> None:
    centers = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    noise = np.random.default_rng(0).normal(size=(30, 2), scale=0.1)
    vectors = (np.repeat(centers, 10, axis=0) + noise).astype(np.float32)
    labels, _ = balanced_kmeans(vectors, 3, seed=0)
    assert [len(set(labels[start : start + 10])) for start in (0, 10, 20)] == [1, 1, 1]


def test_a_crowd_is_shared_out_by_price() -> None:
    """Nine items near one center: those that lie nearest to another one go there."""
    vectors = np.array([[x] for x in (0, 1, 2, 3, 4, 5, 6, 7, 8, 100)], np.float32)
    labels, _ = balanced_kmeans(vectors, 2, seed=0)
    assert len(set(labels[:5])) == len(set(labels[5:])) == 1

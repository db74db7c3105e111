import sys
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from eval import ease
from eval.als import ALS
from eval.baselines import (
    BASELINES,
    COUNTED,
    Baseline,
    Popularity,
    Recency,
    default_baselines,
    parse_baselines,
)
from eval.ease import EASE
from rec_gen import counts
from rec_gen.counts import ItemKNN, MarkovKNN
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError, DataError, MissingPackageError
from tests.toy import toy_dataset

Draw = Callable[..., Dataset]

every_baseline = pytest.mark.parametrize(
    "baseline", [Popularity(), Recency(), ItemKNN(), ItemKNN(3, 0.5), MarkovKNN(), EASE()]
)


def histories_of(dataset: Dataset) -> list[np.ndarray]:
    return [np.zeros(0, np.int32), *(example.history for example in dataset.examples(Split.TEST))]


def seen_matrix(dataset: Dataset) -> np.ndarray:
    sequences = list(dataset.sequences())
    seen = np.zeros((len(sequences), len(dataset.catalog)))
    for row, sequence in zip(seen, sequences, strict=True):
        row[sequence.items] = 1
    return seen


def transitions_of(dataset: Dataset) -> np.ndarray:
    counts = np.zeros((len(dataset.catalog), len(dataset.catalog)))
    for sequence in dataset.sequences():
        for one, after in zip(sequence.items, sequence.items[1:], strict=False):
            counts[one, after] += 1
    shares: np.ndarray = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


@pytest.mark.parametrize("seed", range(3))
def test_popularity_counts_training_interactions(draw: Draw, seed: int) -> None:
    dataset = draw(seed)
    counts = [0] * len(dataset.catalog)
    for sequence in dataset.sequences():
        for item in sequence.items:
            counts[item] += 1
    scores = Popularity().fit(dataset).score(histories_of(dataset))
    assert (scores == np.array(counts)).all()


@pytest.mark.parametrize("half_life", [0.05, 0.5])
def test_recency_halves_the_weight_with_each_half_life(half_life: float) -> None:
    dataset = toy_dataset()
    trained = dataset.frame.filter(split="train")
    later = [(trained["time"] > time).sum() / len(trained) for time in trained["time"]]
    expected = np.zeros(len(dataset.catalog))
    np.add.at(expected, trained["item"].to_numpy(), 0.5 ** (np.array(later) / half_life))
    scores = Recency(half_life).fit(dataset).score(histories_of(dataset))
    np.testing.assert_allclose(scores, np.tile(expected, (len(scores), 1)), rtol=1e-5)
    assert len(np.unique(expected)) > 1


def test_recency_without_times_is_popularity(draw: Draw) -> None:
    histories = histories_of(draw(0))
    scores = [kind().fit(draw(0)).score(histories) for kind in (Recency, Popularity)]
    assert (scores[0] == scores[1]).all()


@pytest.mark.parametrize("regularization", [1.0, 30.0])
@pytest.mark.parametrize("cells", [1, 75, 1 << 22])
def test_ease_is_the_ridge_regression_of_each_item_on_the_others(
    draw: Draw, regularization: float, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "MAX_CELLS", cells)
    dataset = draw(2)
    seen = seen_matrix(dataset)
    size = seen.shape[1]
    expected = np.zeros((size, size))
    for item in range(size):
        rest = np.delete(np.arange(size), item)
        gram = seen[:, rest].T @ seen[:, rest] + regularization * np.eye(size - 1)
        expected[rest, item] = np.linalg.solve(gram, seen[:, rest].T @ seen[:, item])
    fitted = EASE(regularization).fit(dataset)
    np.testing.assert_allclose(fitted.weights, expected, atol=1e-4)
    assert fitted.weights.dtype == np.float32
    repeated = np.array([3, 5, 3], np.int32)
    scores = fitted.score([repeated])
    np.testing.assert_allclose(scores[0], expected[3] + expected[5], atol=1e-4)


def test_ease_refuses_a_large_catalog_by_name(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = draw(0)
    assert default_baselines(dataset) == (COUNTED, {})
    monkeypatch.setattr(ease, "MAX_ITEMS", 24)
    with pytest.raises(DataError, match=r"random: EASE: it inverts .* for 25 items .* leave ease"):
        EASE().fit(dataset)
    names, left_out = default_baselines(dataset)
    assert names == tuple(name for name in COUNTED if name != "ease")
    assert "25 items" in left_out["EASE"]


def test_als_tells_two_groups_of_users_apart() -> None:
    pytest.importorskip("implicit")
    dataset = toy_dataset()
    half = pl.col("user").str.slice(1).cast(int) % 2 * 6
    grouped = dataset.frame.with_columns(item=(pl.col("item") % 6 + half).cast(pl.UInt32))
    als = ALS(factors=4).fit(Dataset(dataset.catalog, grouped, dataset.manifest))
    histories = [np.array(items, np.int32) for items in ([0, 1], [7, 8], [])]
    scores = als.score(histories)
    assert scores.dtype == np.float32
    assert scores[0, :6].min() > scores[0, 6:].max()
    assert scores[1, 6:].min() > scores[1, :6].max()
    assert (scores[2] == 0).all()
    again = ALS(factors=4).fit(Dataset(dataset.catalog, grouped, dataset.manifest))
    assert (again.score(histories) == scores).all()
    np.testing.assert_allclose(als.score(histories[1:]), scores[1:], atol=1e-5)


def test_a_missing_package_is_named(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "implicit.als", None)
    with pytest.raises(MissingPackageError, match=r"'implicit.*rec_gen\[baselines\]"):
        ALS().fit(draw(0))


def test_names_are_read_once_each_and_a_wrong_one_is_told() -> None:
    assert parse_baselines("ease, markov,ease,") == ("ease", "markov")
    assert parse_baselines("") == ()
    with pytest.raises(
        ConfigError, match=r"--baselines: 'eas' is not one of popularity, .*, sasrec$"
    ):
        parse_baselines("eas")


def test_every_baseline_has_a_name_of_its_own() -> None:
    assert len({baseline().name for baseline in BASELINES.values()}) == len(BASELINES)
    assert set(COUNTED) < set(BASELINES)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("decay", [1.0, 0.7])
def test_item_knn_sums_the_cosines_of_scikit_learn(draw: Draw, seed: int, decay: float) -> None:
    dataset = draw(seed)
    similarity = cosine_similarity(seen_matrix(dataset).T)
    np.fill_diagonal(similarity, 0)
    histories = histories_of(dataset)
    expected = np.zeros((len(histories), len(similarity)))
    for row, history in zip(expected, histories, strict=True):
        for age, item in enumerate(reversed(history)):
            row += decay**age * similarity[item]
    scores = ItemKNN(len(similarity), decay).fit(dataset).score(histories)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("neighbours", [1, 4, 10])
@pytest.mark.parametrize("cells", [1, 75, 1 << 22])
def test_item_knn_keeps_the_nearest_neighbours_of_scikit_learn(
    draw: Draw, neighbours: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "MAX_CELLS", cells)
    dataset = draw(5)
    items = seen_matrix(dataset).T
    distances, _ = NearestNeighbors(n_neighbors=neighbours, metric="cosine").fit(items).kneighbors()
    single = [np.array([item], np.int32) for item in range(len(items))]
    scores = ItemKNN(neighbours).fit(dataset).score(single)
    falling = -np.sort(-scores, axis=1)
    np.testing.assert_allclose(falling[:, :neighbours], 1 - distances, atol=1e-6)
    assert (falling[:, neighbours:] == 0).all()
    assert (np.diag(scores) == 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_markov_knn_mixes_two_distributions(draw: Draw, seed: int) -> None:
    dataset, weight = draw(seed), 0.3
    histories = histories_of(dataset)
    knn = ItemKNN(5, 0.8).fit(dataset).score(histories)[1:]
    chain = transitions_of(dataset)[[history[-1] for history in histories[1:]]]
    expected = weight * chain + (1 - weight) * knn / knn.sum(axis=1, keepdims=True)
    scores = MarkovKNN(weight, 5, 0.8).fit(dataset).score(histories)
    np.testing.assert_allclose(scores[1:], expected, rtol=1e-5, atol=1e-6)
    assert (scores[0] == 0).all()


@every_baseline
def test_held_out_interactions_change_no_score(draw: Draw, baseline: Baseline) -> None:
    dataset, redrawn = draw(1, held_out_seed=10), draw(1, held_out_seed=11)
    assert dataset.fingerprint != redrawn.fingerprint
    histories = histories_of(dataset)
    scores = baseline.fit(dataset).score(histories)
    assert (scores == baseline.fit(redrawn).score(histories)).all()


@every_baseline
def test_training_interactions_change_scores(draw: Draw, baseline: Baseline) -> None:
    histories = histories_of(draw(1))
    scores = baseline.fit(draw(1)).score(histories)
    assert not np.array_equal(scores, baseline.fit(draw(2)).score(histories))


@every_baseline
def test_a_score_depends_on_its_own_history_only(draw: Draw, baseline: Baseline) -> None:
    dataset = draw(3)
    histories = histories_of(dataset)
    scores = baseline.fit(dataset).score(histories)
    assert scores.dtype == np.float32
    assert scores.shape == (len(histories), len(dataset.catalog))
    assert (scores[7:9] == baseline.score(histories[7:9])).all()


@every_baseline
def test_without_training_sequences_every_score_is_zero(draw: Draw, baseline: Baseline) -> None:
    dataset = draw(0)
    split = pl.lit("test").cast(dataset.frame["split"].dtype)
    empty = Dataset(dataset.catalog, dataset.frame.with_columns(split=split), dataset.manifest)
    assert (baseline.fit(empty).score(histories_of(dataset)) == 0).all()

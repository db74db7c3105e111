from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file, save_file

from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog, Item
from rec_gen.counts import MarkovKNN
from rec_gen.errors import BundleError, DecodingError, RecGenError
from rec_gen.prior import Prior
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from tests.toy import ITEMS, toy_dataset, toy_recipe
from training.sft import train

ALL = torch.ones(ITEMS, dtype=torch.bool)


@pytest.fixture(scope="module")
def prior() -> Prior:
    return Prior.fit(toy_dataset(), 0.1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(toy_recipe(prior={}), toy_dataset(), tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def recommender(trained: Path) -> Recommender:
    return Recommender.load(trained, device="cpu")


def probabilities(
    prior: Prior, histories: Sequence[Sequence[int]], offered: torch.Tensor = ALL
) -> np.ndarray:
    return np.asarray(prior.log_probs(histories, offered).exp())


def test_is_the_normalised_count_and_a_uniform_share(prior: Prior) -> None:
    history = [3, 4, 5]
    counted = MarkovKNN().fit(toy_dataset()).score([np.array(history, np.int32)])[0]
    expected = 0.9 * counted / counted.sum() + 0.1 / ITEMS
    np.testing.assert_allclose(probabilities(prior, [history])[0], expected, rtol=1e-5)


def test_a_history_without_counts_says_nothing(prior: Prior) -> None:
    found = probabilities(prior, [[], [3]])
    np.testing.assert_allclose(found[0], 1 / ITEMS)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_a_new_item_has_the_smoothing_and_may_stand_in_a_history(prior: Prior) -> None:
    more = torch.ones(ITEMS + 1, dtype=torch.bool)
    found = probabilities(prior, [[3], [3, ITEMS], [ITEMS]], more)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found[:2, ITEMS], 0.1 / (ITEMS + 1))
    np.testing.assert_allclose(found[2], 1 / (ITEMS + 1))
    neighbours = prior.counts.knn.score([np.array([3], np.int32)])[0]
    expected = 0.9 * neighbours / neighbours.sum() + 0.1 / (ITEMS + 1)
    np.testing.assert_allclose(found[1, :ITEMS], expected, rtol=1e-5)


def test_the_counts_of_removed_items_go_to_the_others(prior: Prior) -> None:
    offered = ALL.clone()
    offered[[4, 7]] = False
    (before,), (after,) = probabilities(prior, [[3]]), probabilities(prior, [[3]], offered)
    kept = offered.numpy()
    assert after[kept].sum() == pytest.approx(1)
    raised = (after[kept] - 0.1 / (ITEMS - 2)) / np.maximum(before[kept] - 0.1 / ITEMS, 1e-12)
    raised = raised[before[kept] > 0.1 / ITEMS + 1e-9]
    assert raised == pytest.approx(raised[0])
    assert raised[0] > 1


def test_a_file_gives_back_the_prior(prior: Prior, tmp_path: Path) -> None:
    prior.save(tmp_path / "p")
    again = Prior.load(tmp_path / "p", ITEMS)
    histories = [[], [1], [2, 3, 4]]
    assert torch.equal(again.log_probs(histories, ALL), prior.log_probs(histories, ALL))
    assert (again.counts.knn.neighbours, again.smoothing) == (50, 0.1)
    assert again.counts.transitions.dtype == again.counts.knn.similarity.dtype == np.float32


def test_refuses_a_file_that_is_no_prior_of_the_catalog(prior: Prior, tmp_path: Path) -> None:
    file = tmp_path / "p"
    prior.save(file)
    tensors = load_file(file)
    outside = {**tensors, "similarity.indices": tensors["similarity.indices"] + ITEMS}
    settings = {"format": "rec_gen-prior-1", "settings": "{}"}
    with pytest.raises(BundleError, match="cannot be read as a prior"):
        Prior.load(file, ITEMS + 1)
    save_file(tensors, file)
    with pytest.raises(BundleError, match="is not a rec_gen-prior-1 file"):
        Prior.load(file, ITEMS)
    for broken in (outside, {"similarity.data": tensors["similarity.data"]}):
        save_file(broken, file, settings)
        with pytest.raises(BundleError, match="cannot be read as a prior"):
            Prior.load(file, ITEMS)
    file.write_bytes(b"{}")
    with pytest.raises(BundleError, match="cannot be read as a prior"):
        Prior.load(file, ITEMS)


def test_a_bundle_keeps_its_prior_and_refuses_another(trained: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(trained)
    assert bundle.prior is not None
    bundle.save(tmp_path / "b")
    Prior.fit(toy_dataset(seed=5), 0.1).save(tmp_path / "b" / "prior.safetensors")
    with pytest.raises(BundleError, match=r"prior\.safetensors was changed after training"):
        Bundle.load(tmp_path / "b")
    (tmp_path / "b" / "prior.safetensors").unlink()
    with pytest.raises(BundleError, match=r"prior\.safetensors is missing"):
        Bundle.load(tmp_path / "b")


@pytest.mark.parametrize("exact", [False, True])
def test_the_hybrid_adds_weighted_log_probabilities(recommender: Recommender, exact: bool) -> None:
    histories = [["i1", "i2"], [], ["i7"]]
    options: dict[str, Any] = {"k": ITEMS, "exclude_seen": False, "exact": exact}
    plain = recommender.recommend(histories, **options)
    found = recommender.recommend(histories, **options, prior_weight=0.5, batch_size=2)
    prior = recommender.bundle.prior
    assert prior is not None
    added = 0.5 * prior.log_probs([[1, 2], [], [7]], ALL)
    for answer, other, row in zip(plain, found, added.tolist(), strict=True):
        expected = {r.item.id: r.score + row[int(r.item.id[1:])] for r in answer}
        assert {r.item.id: r.score for r in other} == pytest.approx(expected, abs=1e-5)
        scores = [r.score for r in other]
        assert scores == sorted(scores, reverse=True)
    own = recommender.recommend(
        histories, **options, prior_weight=0.5, item_scores={"i3": 9.0}, batch_size=2
    )
    assert [answer[0].item.id for answer in own] == ["i3"] * 3


def test_without_a_weight_the_answer_is_the_models(recommender: Recommender) -> None:
    assert recommender.recommend([["i1"]], prior_weight=0) == recommender.recommend([["i1"]])


def test_a_changed_catalog_keeps_the_hybrid_right() -> None:
    films = Catalog(pl.DataFrame({"item": list("abcd"), "title": ["A", "B", "C", "D"]}))
    counts = MarkovKNN().fit(toy_dataset())
    for matrix in (counts.transitions, counts.knn.similarity):
        matrix.resize(4, 4)
    bundle = random_bundle(films, "title")
    joined = Bundle(**{**vars(bundle), "prior": Prior(counts, 0.1)})
    recommender = Recommender(joined)
    recommender.update(put=[Item("e", "E", {})], remove=["b"])
    (plain,), (found,) = (
        recommender.recommend([["a", "e"]], k=9, exclude_seen=False, prior_weight=weight)
        for weight in (0.0, 2.0)
    )
    offered = torch.tensor([True, False, True, True, True])
    (added,) = (2 * Prior(counts, 0.1).log_probs([[0, 4]], offered)).tolist()
    expected = {r.item.id: r.score + added["abcde".index(r.item.id)] for r in plain}
    assert set(expected) == set("acde")
    assert {r.item.id: r.score for r in found} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prior_weight": -1}, DecodingError, "prior_weight is -1: give a number of at least 0"),
        ({"prior_weight": float("nan")}, DecodingError, "prior_weight is nan: give a number"),
        (
            {"prior_weight": 1, "scale": "probability"},
            DecodingError,
            "probability, which knows nothing of item_scores, prior_weight and exposure",
        ),
    ],
)
def test_refuses_a_weight_without_meaning(
    recommender: Recommender, options: dict[str, Any], error: type[RecGenError], message: str
) -> None:
    with pytest.raises(error, match=message):
        recommender.recommend([["i1"]], **options)


def test_a_bundle_without_prior_says_so(catalog: Catalog) -> None:
    recommender = Recommender(random_bundle(catalog, "item"))
    with pytest.raises(BundleError, match=r"'random' holds no prior: train it with a \[prior\]"):
        recommender.recommend([["a"]], prior_weight=0.1)

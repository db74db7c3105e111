from itertools import pairwise
from math import log
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from eval.baselines import BASELINES, COUNTED, Popularity
from eval.evaluate import CHOSEN, evaluate
from eval.ranking import rank_baseline
from eval.report import Evaluation
from eval.sasrec import SASRec
from eval.sasrec_model import IGNORED, SelfAttention, Windows, sampled_softmax
from rec_gen.data.dataset import Dataset, Sequence, Split
from rec_gen.errors import ConfigError, DataError, ModelError
from rec_gen.metrics import recall
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from tests.eval.conftest import Draw
from tests.toy import toy_dataset


def small(**changes: Any) -> SASRec:
    sizes = {"window": 6, "width": 16, "negatives": 8, "epochs": 2, "batch_size": 64}
    return SASRec(**{**sizes, **changes})


def resplit(dataset: Dataset, one: Split, other: Split) -> Dataset:
    frame = dataset.frame.with_columns(
        pl.col("split").cast(pl.String).replace(one.value, other.value).cast(pl.Enum(Split))
    )
    return Dataset(dataset.catalog, frame, dataset.manifest)


def sequence(items: list[int], targets: list[bool]) -> Sequence:
    ages = np.zeros(len(items), np.float32)
    return Sequence("u", np.array(items, np.int32), np.array(targets), ages)


def network(items: int = 9, window: int = 5) -> SelfAttention:
    torch.manual_seed(0)
    return SelfAttention(items, window, width=8, layers=2, heads=2, dropout=0.5)


def test_a_cycle_that_popularity_cannot_see_is_learnt(capsys: pytest.CaptureFixture[str]) -> None:
    dataset = toy_dataset(users=60)
    examples = list(dataset.examples(Split.TEST))
    sasrec = SASRec(width=32, negatives=12, batch_size=48, learning_rate=5e-3, epochs=12)
    hits = {}
    for baseline in (Popularity(), sasrec):
        baseline.fit(dataset)
        lists = rank_baseline(baseline, dataset.catalog, examples, exclude_seen=True)
        hits[baseline.name] = recall(lists.ranks, 1).mean()
    assert hits["SASRec"] > 0.95
    assert hits["popularity"] < 0.5
    assert "SASRec: validation NDCG@10 1.0000 in epoch" in capsys.readouterr().err


def test_scores_are_a_function_of_data_and_seed(draw: Draw) -> None:
    histories = [example.history for example in draw(0).examples(Split.TEST)]
    torch.manual_seed(5)
    scores = small().fit(draw(0)).score(histories)
    drawn = torch.rand(1)
    assert scores.dtype == np.float32
    assert scores.shape == (len(histories), len(draw(0).catalog))
    assert np.isfinite(scores).all()
    assert (small().fit(draw(0)).score(histories) == scores).all()
    assert not np.allclose(small(seed=1).fit(draw(0)).score(histories), scores)
    torch.manual_seed(5)
    assert torch.rand(1) == drawn, "training changed the draws of others"


def test_neither_batch_mates_nor_what_lies_before_the_window_change_a_score(draw: Draw) -> None:
    sasrec = small().fit(draw(0))
    histories = [np.array(items, np.int32) for items in ([3], [1, 2, 3, 4, 5, 6, 7, 8], [4, 2])]
    scores = sasrec.score(histories)
    for row, history in zip(scores, histories, strict=True):
        np.testing.assert_allclose(sasrec.score([history])[0], row, atol=1e-5)
        np.testing.assert_allclose(sasrec.score([history[-6:]])[0], row, atol=1e-5)
    assert not np.allclose(sasrec.score([histories[1][-5:]])[0], scores[1], atol=1e-5)


def test_a_history_without_items_ties_the_whole_catalog(draw: Draw) -> None:
    sasrec, empty = small().fit(draw(0)), np.zeros(0, np.int32)
    scores = sasrec.score([empty, np.array([3], np.int32), empty])
    assert (scores[[0, 2]] == 0).all()
    assert scores[1].any()
    assert sasrec.score([]).shape == (0, len(draw(0).catalog))


def test_test_interactions_change_no_score(draw: Draw) -> None:
    dataset = draw(0)
    item = (
        pl.when(pl.col("split") == "test").then(3).otherwise("item").cast(pl.UInt32).alias("item")
    )
    changed = Dataset(dataset.catalog, dataset.frame.with_columns(item), dataset.manifest)
    assert changed.fingerprint != dataset.fingerprint
    histories = [np.array([1, 2], np.int32)]
    assert (small().fit(dataset).score(histories) == small().fit(changed).score(histories)).all()


def test_the_epoch_that_validation_likes_best_is_kept(draw: Draw) -> None:
    histories = [example.history for example in draw(0).examples(Split.TEST)]
    first = small(epochs=1, learning_rate=0.1).fit(draw(0)).score(histories)
    one = small(epochs=1, learning_rate=0.0).fit(draw(0)).score(histories)
    idle = small(epochs=50, patience=2, learning_rate=0.0).fit(draw(0)).score(histories)
    assert (idle == one).all()
    assert not np.allclose(first, one)


def test_without_training_sequences_every_score_is_zero(draw: Draw) -> None:
    dataset = resplit(draw(0), Split.TRAIN, Split.CONTEXT)
    assert (small().fit(dataset).score([np.array([1, 2], np.int32)]) == 0).all()


def test_what_cannot_be_trained_is_an_error_that_says_the_mend(draw: Draw) -> None:
    with pytest.raises(DataError, match=r"random: SASRec: the validation split.* leave sasrec out"):
        small().fit(resplit(draw(0), Split.VALID, Split.CONTEXT))
    with pytest.raises(ModelError, match=r"random: SASRec: the loss of epoch \d is nan: lower its"):
        small(learning_rate=1e30, batch_size=16).fit(draw(0))


def test_that_an_epoch_was_chosen_is_told(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BASELINES, "sasrec", lambda: small(epochs=1))
    dataset = draw(0)
    recommender = Recommender(random_bundle(dataset.catalog, "item"))

    def evaluated(name: str, split: Split) -> Evaluation:
        return evaluate(recommender, dataset, split, False, 0, baselines=["popularity", name])

    assert CHOSEN in evaluated("sasrec", Split.TEST).protocol
    assert CHOSEN not in evaluated("markov", Split.TEST).protocol
    assert CHOSEN not in evaluated("markov", Split.VALID).protocol
    with pytest.raises(ConfigError, match=r"--baselines sasrec: chooses its epoch on the valid"):
        evaluated("sasrec", Split.VALID)


def test_it_is_asked_for_by_name() -> None:
    assert "sasrec" not in COUNTED


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("changed", [1, 2, 4])
def test_a_later_item_changes_no_earlier_state(changed: int, training: bool) -> None:
    model = network().train(training)
    items = torch.tensor([[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]])
    other = items.clone()
    other[:, changed] = 7
    states = []
    for part in (items, other):
        torch.manual_seed(1)
        states.append(model(part, torch.tensor([5, 5])))
    torch.testing.assert_close(states[0][:, :changed], states[1][:, :changed])
    assert not torch.allclose(states[0][:, changed:], states[1][:, changed:], atol=1e-3)


def test_padding_changes_no_state() -> None:
    model = network().eval()
    items, length = torch.tensor([[1, 2, 3, 0, 0]]), torch.tensor([3])
    whole, cut = model(items, length), model(items[:, :3], length)
    torch.testing.assert_close(whole[:, :3], cut)


def test_scores_are_products_of_the_last_state_and_the_embeddings() -> None:
    model = network().eval()
    expected = model(torch.tensor([[1, 2, 3]]), torch.tensor([3]))[0, 2] @ model.items.weight.T
    scores = model.score([np.array([1, 2, 3], np.int32)])
    np.testing.assert_allclose(scores[0], expected.detach().numpy(), atol=1e-5)


@given(seed=st.integers(0, 10**6), items=st.integers(2, 12), rows=st.integers(1, 6))
@settings(deadline=None)
def test_with_all_negatives_it_is_the_softmax(seed: int, items: int, rows: int) -> None:
    torch.manual_seed(seed)
    states = torch.randn(rows, 4, dtype=torch.float64, requires_grad=True)
    table = torch.randn(items, 4, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(items, (rows,))
    sampled = sampled_softmax(states, targets, table, torch.randperm(items))
    full = functional.cross_entropy(states @ table.T, targets)
    torch.testing.assert_close(sampled, full)
    torch.testing.assert_close(
        torch.autograd.grad(sampled, (states, table)), torch.autograd.grad(full, (states, table))
    )


def test_a_negative_stands_for_its_share_of_the_catalog() -> None:
    loss = sampled_softmax(
        torch.zeros(1, 4), torch.tensor([0]), torch.zeros(30, 4), torch.tensor([1, 2, 3])
    )
    assert loss.item() == pytest.approx(log(1 + 30))


def test_the_target_is_none_of_its_negatives() -> None:
    states, table = torch.randn(2, 4), torch.randn(5, 4)
    alone = sampled_softmax(states[:1], torch.tensor([2]), table, torch.tensor([2]))
    assert alone.item() == 0
    both = sampled_softmax(states, torch.tensor([2, 1]), table, torch.tensor([2]))
    assert both.item() > 0


@given(
    lengths=st.lists(st.integers(1, 14), min_size=1, max_size=5),
    window=st.integers(1, 6),
    size=st.integers(1, 20),
    seed=st.integers(0, 10**6),
)
@settings(deadline=None)
def test_each_transition_is_learnt_once_and_context_is_not(
    lengths: list[int], window: int, size: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sequences, first = [], 0
    expected: list[tuple[int, int]] = []
    for length in lengths:
        items = list(range(first, first + length))
        targets = (rng.random(length) < 0.6).tolist()
        sequences.append(sequence(items, targets))
        expected += [
            pair for pair, learnt in zip(pairwise(items), targets[1:], strict=True) if learnt
        ]
        first += length
    torch.manual_seed(seed)
    assume(expected)
    windows = Windows(sequences, window)
    found: list[tuple[int, int]] = []
    for inputs, targets, sizes in windows.batches(size):
        assert inputs.shape == targets.shape
        assert sizes.sum() < size + window
        assert inputs.shape[1] <= window
        assert inputs.shape[1] == sizes.max()
        learnt = targets != IGNORED
        found += zip(inputs[learnt].tolist(), targets[learnt].tolist(), strict=True)
    assert sorted(found) == expected


def test_windows_of_like_length_share_a_batch() -> None:
    sequences = [sequence([0] * length, [True] * length) for length in (2, 5, 2, 5, 2, 5)]
    torch.manual_seed(0)
    shapes = [tuple(items.shape) for items, _, _ in Windows(sequences, 9).batches(4)]
    assert sorted(shapes) == [(1, 4), (1, 4), (1, 4), (3, 1)]

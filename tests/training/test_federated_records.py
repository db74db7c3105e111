"""What a server refuses, shortens and averages, without any training."""

import re
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp.strategy import FedTrimmedAvg
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import trim_mean

from rec_gen.errors import ConfigError
from tests.training.federation import toy_federation
from training.federated.config import FaultConfig
from training.federated.faults import garbage_clients, spoil
from training.federated.grid import LocalGrid
from training.federated.records import (
    ARRAYS,
    EXAMPLES,
    LOSS,
    METRICS,
    from_record,
    sift,
    sift_rankings,
    to_record,
)
from training.federated.weights import Weights, distance

MOST = 20


def begun() -> Weights:
    return {"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.float32)}


def moved(by: float) -> Weights:
    return {name: values + np.float32(by) for name, values in begun().items()}


def reply(client: int, record: ArrayRecord, examples: Any = 10, loss: Any = 1.0) -> Message:
    LocalGrid(None, 0)  # names the run that messages belong to
    asked = Message(RecordDict(), client, "train")
    metrics = MetricRecord({EXAMPLES: examples, LOSS: loss})
    return Message(RecordDict({ARRAYS: record, METRICS: metrics}), reply_to=asked)


def test_good_answers_are_kept_in_the_order_of_the_clients() -> None:
    replies = [reply(client, to_record(moved(client))) for client in (3, 1, 2)]
    found = sift([1, 2, 3, 4], replies, begun(), MOST, None)
    assert [each.metadata.src_node_id for each in found.kept] == [1, 2, 3]
    assert found.failed == {4: "gave no answer"}
    assert not found.clipped


def archive() -> bytes:
    file = BytesIO()
    np.savez(file, np.zeros(4, np.float32))
    return file.getvalue()


def header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


GARBAGE = {
    b"PK\x03\x04 and no archive": "b damaged",
    archive(): "b as an archive",
    header("(10000000000000,)"): "b damaged",
    header("(4,"): "b damaged",
}


def sent(garbage: bytes) -> ArrayRecord:
    array = Array("float32", (4,), "numpy.ndarray", garbage)
    return ArrayRecord({**to_record(moved(1)), "b": array})


def broken(change: dict[str, Any]) -> ArrayRecord:
    weights: dict[str, Any] = {**moved(1), **change}
    return ArrayRecord({name: Array(values) for name, values in weights.items()})


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (broken({"a": np.full((2, 3), np.nan, np.float32)}), "not finite"),
        (broken({"a": np.full((2, 3), np.inf, np.float32)}), "not finite"),
        (broken({"a": np.zeros((3, 2), np.float32)}), "another shape or type"),
        (broken({"a": np.zeros((2, 3))}), "another shape or type"),
        (broken({"c": np.zeros(1, np.float32)}), "other weights"),
        (
            ArrayRecord(
                {**to_record(moved(1)), "b": Array("float32", (4,), "numpy.ndarray", b"no array")}
            ),
            "b damaged",
        ),
        *((sent(garbage), why) for garbage, why in GARBAGE.items()),
    ],
)
def test_garbage_is_refused_with_its_reason(record: ArrayRecord, why: str) -> None:
    found = sift([1, 2], [reply(1, record), reply(2, to_record(moved(1)))], begun(), MOST, None)
    assert why in found.failed[1]
    assert [each.metadata.src_node_id for each in found.kept] == [2]


@pytest.mark.parametrize("examples", [0, -3, MOST + 1, 10**12, 2.5, float("nan")])
def test_a_client_cannot_weigh_more_than_it_can_have_learnt(examples: float) -> None:
    found = sift([1], [reply(1, to_record(moved(1)), examples)], begun(), MOST, None)
    assert "at most 20" in found.failed[1]


def test_what_a_client_raised_is_told() -> None:
    LocalGrid(None, 0)
    asked = Message(RecordDict(), 7, "train")
    error = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "the disk is full")
    found = sift([7], [Message(error, reply_to=asked)], begun(), MOST, None)
    assert found.failed == {7: "the disk is full"}
    for reason in (" \n", None):
        error = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason)
        found = sift([7], [Message(error, reply_to=asked)], begun(), MOST, None)
        assert found.failed == {7: "failed"}


def test_an_answer_of_nobody_who_was_asked_is_not_averaged() -> None:
    found = sift([1], [reply(9, to_record(moved(1)))], begun(), MOST, None)
    assert not found.kept
    assert found.failed == {1: "gave no answer"}


@settings(max_examples=30)
@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=9), st.floats(0.1, 5))
def test_no_update_is_longer_than_so_many_medians(lengths: list[float], clip: float) -> None:
    replies = [reply(client, to_record(moved(by))) for client, by in enumerate(lengths)]
    found = sift(range(len(lengths)), replies, begun(), MOST, clip)
    bound = clip * np.median([distance(moved(by), begun()) for by in lengths])
    for each, by in zip(found.kept, lengths, strict=True):
        update = from_record(each.content.array_records[ARRAYS])
        assert distance(update, begun()) <= bound * (1 + 1e-5)
        if each.metadata.src_node_id not in found.clipped:
            assert distance(update, moved(by)) == 0
        else:
            assert (update["a"] >= 0).all()  # shorter, and in the same direction


@settings(max_examples=30)
@given(st.lists(st.floats(-100, 100), min_size=3, max_size=12), st.sampled_from([0.1, 0.2, 0.4]))
def test_the_trimmed_mean_is_that_of_scipy(values: list[float], trim: float) -> None:
    replies = [reply(client, to_record(moved(by))) for client, by in enumerate(values)]
    arrays, _ = FedTrimmedAvg(beta=trim).aggregate_train(1, replies)
    expected = trim_mean(np.array(values, np.float32), trim)
    np.testing.assert_allclose(from_record(arrays)["b"], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "metrics",
    [
        {EXAMPLES: 3, "ndcg@10": float("nan"), "recall@10": 0.5},
        {EXAMPLES: 3, "ndcg@10": 7.0, "recall@10": 0.5},
        {EXAMPLES: 0, "ndcg@10": 0.5, "recall@10": 0.5},
        {EXAMPLES: 3, "recall@10": 0.5},
        {EXAMPLES: 3, "ndcg@10": [0.5], "recall@10": 0.5},
        {EXAMPLES: float("inf"), "ndcg@10": 0.5, "recall@10": 0.5},
    ],
)
def test_rankings_that_cannot_be_are_left_out(metrics: dict[str, Any]) -> None:
    LocalGrid(None, 0)
    asked = Message(RecordDict(), 1, "evaluate")
    good = {EXAMPLES: 3, "ndcg@10": 0.2, "recall@10": 0.5}
    two = RecordDict({METRICS: MetricRecord(good), "more": MetricRecord(good)})
    replies = [
        Message(content, reply_to=asked)
        for content in (
            RecordDict({METRICS: MetricRecord(metrics)}),
            two,
            RecordDict({METRICS: MetricRecord(good)}),
        )
    ]
    assert sift_rankings(replies, ("ndcg@10", "recall@10")) == replies[2:]


@pytest.mark.parametrize(
    ("attack", "value"), [("sign-flip", -20.0), ("huge", 2e6), ("nan", np.nan)]
)
def test_garbage_is_what_it_is_called(attack: Any, value: float) -> None:
    spoilt = spoil(moved(2), begun(), FaultConfig(attack=attack))
    np.testing.assert_allclose(spoilt["b"], np.full(4, value))
    assert spoil(moved(2), begun(), FaultConfig(attack="shape"))["a"].shape == (5,)


def test_as_many_clients_send_garbage_as_are_asked_for() -> None:
    assert len(garbage_clients(FaultConfig(garbage=0.2), 20, 0)) == 4
    assert garbage_clients(FaultConfig(), 20, 0) == frozenset()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model": {"base": "scratch", "adapter": "none"}}, 'model.adapter = "lora"'),
        ({"prior": {}}, "prior counts interactions"),
        ({"spelling": {"scheme": "semantic"}}, 'sources = ["text"]'),
        ({"train": {"max_steps": 4, "packing": True}}, "without train.packing"),
        ({"federated": {"secure": True, "least": 3, "clip": 1.0}}, "neither clip nor trim"),
        ({"train": {"max_steps": 4, "adversarial": 0.1}}, "without train.adversarial"),
        ({"privacy": {"epsilon": 1.0}}, "federated training knows no privacy"),
        ({"domains": [{"name": "x", "data": {"source": "movielens-1m"}}]}, "knows no domains"),
        ({"federated": {"secure": True}}, "set least = 3"),
    ],
)
def test_a_recipe_that_clients_cannot_follow_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(why)):
        toy_federation("base", **change)

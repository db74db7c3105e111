"""What Flower's messages carry, and what of an answer is fit to be averaged."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message

from training.federated.weights import Weights, distance

ARRAYS, CONFIG, METRICS = "arrays", "config", "metrics"
EXAMPLES, FIRST, GROUND, MU, LOSS = "num-examples", "first-step", "ground", "proximal-mu", "loss"
"""The keys of the records; those that Flower's strategies use are as they have them."""


@dataclass
class Sifted:
    """The answers of a round.

    Attributes:
        kept: Those that are averaged.
        failed: Why the others are not, by client.
        clipped: The clients whose update was shortened.
    """

    kept: list[Message] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    clipped: list[int] = field(default_factory=list)


def to_record(weights: Weights) -> ArrayRecord:
    """Weights as a record."""
    return ArrayRecord({name: Array(values) for name, values in weights.items()})


def from_record(record: ArrayRecord) -> Weights:
    """The weights of a record that may be trusted."""
    return {name: array.numpy() for name, array in record.items()}


def sift(
    asked: Sequence[int],
    replies: Iterable[Message],
    weights: Weights,
    most: int,
    clip: float | None,
) -> Sifted:
    """Refuse what cannot be averaged, and shorten what is too long.

    Clipping to a multiple of the median length follows the norm thresholding of Sun et al., "Can
    you really backdoor federated learning?", 2019; the median needs no threshold to be known, and
    holds while fewer than half of the clients lie.

    Args:
        asked: The clients that were asked.
        replies: What came back, in any order.
        weights: What the round began with.
        most: The most rows that a client can have learnt from.
        clip: The longest update in medians of the round's; None shortens nothing.

    Returns:
        The answers, in the order of the clients; those that were shortened are changed in place.
    """
    found = Sifted(failed=dict.fromkeys(asked, "gave no answer"))
    for reply in sorted(replies, key=lambda reply: reply.metadata.src_node_id):
        client = reply.metadata.src_node_id
        if client not in found.failed:  # it was not asked, or has answered
            continue
        problem = _problem(reply, weights, most)
        if problem is None:
            del found.failed[client]
            found.kept.append(reply)
        else:
            found.failed[client] = problem
    if clip is not None and found.kept:
        _shorten(found, weights, clip)
    return found


def sift_rankings(replies: Iterable[Message], names: Sequence[str]) -> list[Message]:
    """The answers to an evaluation that can be averaged: shares of at least one example."""
    return [
        reply
        for reply in replies
        if reply.has_content()
        and list(reply.content.metric_records) == [METRICS]
        and set(metrics := reply.content.metric_records[METRICS]) == {EXAMPLES, *names}
        and isinstance(metrics[EXAMPLES], int)
        and metrics[EXAMPLES] >= 1
        and all(isinstance(metrics[name], int | float) for name in names)
        and all(0 <= metrics[name] <= 1 for name in names)
    ]


def _problem(reply: Message, weights: Weights, most: int) -> str | None:
    """Why an answer cannot be averaged."""
    if reply.has_error():
        reason: str = reply.error.reason or ""
        return (reason.strip().splitlines() or ["failed"])[-1]
    records, metrics = reply.content.array_records, reply.content.metric_records
    if list(records) != [ARRAYS] or list(metrics) != [METRICS]:
        return "sent other records"
    if set(metrics[METRICS]) != {EXAMPLES, LOSS} or not _count(metrics[METRICS][EXAMPLES], most):
        return f"does not say how many rows it learnt from, at most {most}"
    loss = metrics[METRICS][LOSS]
    if not (isinstance(loss, float) and math.isfinite(loss)):
        return "sent a loss that is no number"
    if set(records[ARRAYS]) != set(weights):
        return "sent other weights"
    for name, array in records[ARRAYS].items():
        try:
            values = array.numpy()
        except Exception:  # noqa: BLE001  # numpy fails in many ways on what a client may send
            return f"sent {name} damaged"
        if not isinstance(values, np.ndarray):
            return f"sent {name} as an archive"
        if values.dtype != np.float32 or values.shape != weights[name].shape:
            return f"sent {name} in another shape or type"
        if not np.isfinite(values).all():
            return f"sent {name} with numbers that are not finite"
    return None


def _count(value: Any, most: int) -> bool:
    return isinstance(value, int) and 1 <= value <= most


def _shorten(found: Sifted, weights: Weights, clip: float) -> None:
    learnt = [from_record(reply.content.array_records[ARRAYS]) for reply in found.kept]
    lengths = [distance(each, weights) for each in learnt]
    longest = clip * float(np.median(lengths))
    for reply, update, length in zip(found.kept, learnt, lengths, strict=True):
        if length > longest:
            share = np.float32(longest / length)
            reply.content[ARRAYS] = to_record(
                {name: weights[name] + share * (update[name] - weights[name]) for name in weights}
            )
            found.clipped.append(reply.metadata.src_node_id)

"""What all requests to the model share."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from rec_gen.answers import Answer
from serving.batching import Timed
from serving.request_steps import Asked, time_left


@pytest.mark.parametrize(
    ("asked", "least", "most"), [(None, 8000, 9000), (60_000, 8000, 9000), (3000, 1000, 2000)]
)
def test_a_client_may_ask_for_less_time_only(asked: int | None, least: int, most: int) -> None:
    service: Any = SimpleNamespace(
        config=SimpleNamespace(batching=SimpleNamespace(deadline_ms=10**4))
    )
    assert least < time_left(service, asked, time.perf_counter() - 1) <= most


def test_the_time_of_reasons_is_told_with_that_of_the_list() -> None:
    answer = Answer((), certified=True, version=0, prompt_tokens=1, answer_tokens=1)
    both = Asked(Timed(answer, 1.0, 2.0), (), 0.5).with_time_of(Timed(None, 0.25, 0.5))
    assert both.server_timing == "store;dur=500.0, queue;dur=1250.0, search;dur=2500.0"
    assert both.timed.answer is answer

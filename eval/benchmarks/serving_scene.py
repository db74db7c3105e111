"""A server under load while a fault comes, and what is counted afterwards."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from eval.benchmarks.serving_events import Shop, telling
from eval.benchmarks.serving_helper import Helper
from eval.benchmarks.serving_plan import Load, Plan, ended, loading

CLIENTS = 4
CALM = 1.0
"""Seconds of load before and after a fault."""


@dataclass(frozen=True)
class Outcome:
    """What came of a fault.

    Attributes:
        ms: Milliseconds until it was over; None where it never was.
        errors: Answers that had no right to be.
        invalid: Items that could not have been recommended.
        lost: Accepted requests without an answer, and acknowledged events that are not there once.
        orphans: Processes that outlived the server by more than a second.
    """

    ms: float | None
    errors: int
    invalid: int
    lost: int
    orphans: int = 0


@dataclass(frozen=True)
class Scene:
    """What is asked of a server while a fault comes.

    Attributes:
        shop: Tells it events.
        crowd: Asks it for recommendations.
    """

    shop: Shop
    crowd: Helper

    def end(self, url: str) -> tuple[Load, int]:
        """End the load; what came of it, and how many acknowledged events a server lacks."""
        load = ended(self.crowd)
        self.shop.end()
        return load, self.shop.missing(url)


@contextmanager
def under_load(
    url: str, items: list[str], users: dict[str, list[str]] | None = None
) -> Iterator[Scene]:
    """Load on a server while the block runs, which begins when it has run for a while.

    Args:
        url: Where the server listens.
        items: The ids of its catalog.
        users: Users that are asked for, with their kept histories; else histories are sent along.
    """
    plan = Plan(url, items, CLIENTS, users=users or {}, rows=True)
    with telling(url, items[0]) as shop, loading(plan) as crowd:
        time.sleep(CALM)
        yield Scene(shop, crowd)


def recovery(load: Load, since: float) -> float | None:
    """Milliseconds from a time to the first answer to a request that was sent after it."""
    answered = (done for _, sent, done, status in load.rows if status == 200 and sent >= since)
    first = min(answered, default=None)
    return None if first is None else 1e3 * (first - since)

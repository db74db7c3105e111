"""A shop that tells events through a fault, and whether what was acknowledged is still there."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from eval.benchmarks.serving_client import ASK

PAUSE, MANY = 0.02, 500
"""Seconds between events, and events of one user."""


class Shop:
    """Tells one event after the other, again where it was not acknowledged.

    Attributes:
        acknowledged: The session that each acknowledged event names, by user; all differ.
        times: When each was sent and acknowledged, by `time.monotonic`.
    """

    def __init__(self, url: str, item: str) -> None:
        self._url, self._item = url, item
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)
        self.acknowledged: dict[str, list[str]] = {}
        self.times: list[tuple[float, float]] = []

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def end(self) -> None:
        """Stop."""
        self._ended.set()
        self._thread.join()

    def missing(self, url: str) -> int:
        """How many acknowledged events a server does not have exactly once."""
        wrong = 0
        with httpx.Client(base_url=url, timeout=60) as client:
            for user, sessions in self.acknowledged.items():
                answer = client.get(f"/v1/users/{user}/history").raise_for_status().json()
                kept = Counter(event["session"] for event in answer["events"])
                wrong += sum(kept[session] != 1 for session in sessions)
        return wrong

    def _tell(self) -> None:
        number = 0
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._ended.wait(PAUSE):
                user, session = f"shop-{number // MANY}", f"event-{number}"
                event = {"user": user, "item": self._item, "session": session}
                sent = time.monotonic()
                try:
                    answer = client.post(
                        "/v1/events", json=event, headers={"Idempotency-Key": session}
                    )
                except httpx.TransportError:
                    continue
                if answer.status_code == 200:
                    self.acknowledged.setdefault(user, []).append(session)
                    self.times.append((sent, time.monotonic()))
                    number += 1


@contextmanager
def telling(url: str, item: str) -> Iterator[Shop]:
    """A shop that tells events of an item while the block runs."""
    shop = Shop(url, item)
    shop.start()
    try:
        yield shop
    finally:
        shop.end()


def wait_for_answer(url: str, seconds: float, **body: Any) -> None:
    """Wait until a server answers a request for recommendations, or so long."""
    until = time.monotonic() + seconds
    with httpx.Client(base_url=url, timeout=seconds) as client:
        while time.monotonic() < until:
            try:
                if client.post(ASK, json=body).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(PAUSE)

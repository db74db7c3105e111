"""Whether the server still recommends what it recommended at first."""

from collections import Counter
from collections.abc import Iterable

from prometheus_client import Gauge

FIRST = 500
"""Answers that say how popular each item is, and again as many that say what is usual."""
SMOOTHING = 0.01


class PopularityDrift:
    """The mean popularity of recommended items, as a share of what it was at first.

    An item's popularity is its share of the items in the first answers. The next as many answers,
    which it was not counted on, give the usual mean; later answers are compared with that. Near 1
    nothing has changed; towards 0 the items are others.
    """

    def __init__(self, gauge: Gauge, first: int = FIRST) -> None:
        self._gauge, self._first = gauge, first
        self._answers, self._items, self._usual = 0, 0, 0.0
        self._counts: Counter[str] = Counter()
        self._mean: float | None = None

    def observe(self, items: Iterable[str]) -> None:
        """Take in the ids of one answer."""
        found = list(items)
        if not found:
            return
        self._answers += 1
        if self._answers <= self._first:
            self._counts.update(found)
            self._items += len(found)
            return
        popularity = sum(self._counts[item] for item in found) / len(found) / self._items
        if self._answers <= 2 * self._first:
            self._usual += popularity / self._first
            return
        if self._mean is None:
            self._mean = self._usual
        self._mean += SMOOTHING * (popularity - self._mean)
        if self._usual:
            self._gauge.set(self._mean / self._usual)

"""How soon a change is seen: `python -m eval.benchmarks.serving_probe`, beside the load.

One after the other, a user's event is sent, an item is added and it is removed. After each
acknowledgement the next recommendation is asked for that must know of it, and asked for again as
long as it does not. What is measured is from sending the change to sending the first request whose
answer reflects it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

from eval.benchmarks.serving_client import ASK, Connection, Reply
from eval.benchmarks.serving_helper import Helper, help_out, helping

PAUSE = 0.1


@dataclass
class Probes:
    """What came of it.

    Attributes:
        event_ms: Milliseconds until an event was reflected.
        added_ms: Milliseconds until an added item was recommended.
        removed_ms: Milliseconds until a removed item was recommended no more.
        late: How many changes the first answer after their acknowledgement did not reflect.
        errors: Requests that were not answered with 200.
        lives: From when to when each added item was in the catalog: sent, and seen to be gone.
    """

    event_ms: list[float] = field(default_factory=list)
    added_ms: list[float] = field(default_factory=list)
    removed_ms: list[float] = field(default_factory=list)
    late: int = 0
    errors: int = 0
    lives: dict[str, tuple[float, float]] = field(default_factory=dict)


@contextmanager
def probing(url: str, items: list[str]) -> Iterator[Helper]:
    """Probe a server while the block runs.

    Args:
        url: Where it listens.
        items: Two ids of its catalog, which stays without new ones otherwise.
    """
    with helping("eval.benchmarks.serving_probe", {"url": url, "items": items[:2]}) as helper:
        yield helper


def probed(helper: Helper) -> Probes:
    """End the probing; what came of it."""
    return Probes(**helper.end())


class Prober:
    """Changes and asks, as one client."""

    def __init__(self, url: str, items: list[str]) -> None:
        self._connection, self._items = Connection(url), items
        self.probes = Probes()

    async def run(self, end: asyncio.Event) -> Probes:
        """Probe until the end is told; at least once."""
        for number in count():
            await self._round(f"probe-{number}")
            await asyncio.sleep(PAUSE)
            if end.is_set():
                break
        self._connection.close()
        return self.probes

    async def _round(self, name: str) -> None:
        probes, (one, other) = self.probes, self._items
        event = {"user": name, "item": one}
        known = {"user": name, "allow": [one, other]}
        await self._probe(
            probes.event_ms, ("POST", "/v1/events", event), known, lambda found: found == [other]
        )
        item = {"id": name, "title": f"New film {name}"}
        asked = {"history": [], "allow": [name]}
        sent = time.monotonic()
        probes.lives[name] = (sent, float("inf"))
        await self._probe(
            probes.added_ms,
            ("PUT", "/v1/items", {"items": [item]}),
            asked,
            lambda found: found == [name],
        )
        asked = {"history": [], "allow": [name, other]}
        acknowledged = await self._probe(
            probes.removed_ms,
            ("DELETE", f"/v1/items/{name}", None),
            asked,
            lambda found: found == [other],
        )
        probes.lives[name] = (sent, acknowledged)

    async def _probe(
        self,
        ms: list[float],
        change: tuple[str, str, Any],
        question: dict[str, Any],
        reflects: Callable[[list[str]], bool],
    ) -> float:
        """When the change was acknowledged; infinite where it was refused."""
        done = await self._ask(*change)
        if done is None:
            return float("inf")
        for tries in count():
            reply = await self._ask("POST", ASK, question)
            if reply is None:
                break
            if reflects(reply.items):
                ms.append(1e3 * (reply.sent - done.sent))
                self.probes.late += tries > 0
                break
        return done.ended

    async def _ask(self, method: str, path: str, content: Any) -> Reply | None:
        try:
            reply = await self._connection.request(method, path, content)
        except OSError:
            reply = None
        if reply is None or reply.status != 200:
            self.probes.errors += 1
            return None
        return reply


async def _work(plan: dict[str, Any], end: asyncio.Event) -> dict[str, Any]:
    return asdict(await Prober(**plan).run(end))


if __name__ == "__main__":
    help_out(_work)

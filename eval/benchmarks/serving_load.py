"""The load generator: `python -m eval.benchmarks.serving_load`, a process beside the server.

*Closed*: so many clients ask one request after the other. *Open*: requests come at a rate, at
random times (a Poisson process), whether or not earlier ones are answered, and a latency counts
from the time at which the request was due, so that a slow server hides nothing (no coordinated
omission). Every answer is checked: 200 with `k` different items that are known, none of them in the
history.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

import numpy as np

from eval.benchmarks.serving_client import ASK, Connection, UnreachableError, invalid_items
from eval.benchmarks.serving_helper import Helper, help_out, helping

HISTORY, K, PAUSE = 5, 10, 0.05
UNREACHABLE, CUT = 0, 1
"""What stands for a status where there was no connection, or it ended before the answer."""


@dataclass(frozen=True)
class Plan:
    """What is asked.

    Attributes:
        url: Where the server listens.
        items: The ids that the catalog has from beginning to end.
        clients: Clients of the closed loop; connections, at most, of the open one.
        rate: Requests a second of the open loop; None for the closed one.
        users: Users that are asked for, with the histories that are kept of them; histories are
            drawn and sent along where there is none.
        rows: Whether each request is reported.
        seed: Of histories and times.
    """

    url: str
    items: list[str]
    clients: int = 64
    rate: float | None = None
    users: dict[str, list[str]] = field(default_factory=dict)
    rows: bool = False
    seed: int = 0


@dataclass
class Load:
    """What came of it. Only answers until the end was told count for the rate.

    Attributes:
        statuses: How often each status came; `UNREACHABLE` and `CUT` where none did.
        invalid: Items that are not what was asked for.
        bare_refusals: Answers with 429 and no `Retry-After` of a second or more.
        strangers: Ids that are not in the plan, with the times of request and answer: items that
            were added meanwhile, or wrong ones.
        ms: The 50th, 95th and 99th percentile of the milliseconds of answers with 200.
        rate: Answers with 200 a second.
        cores: The share of a core that this client took.
        rows: The id, time of request, time of answer and status of each, where they were asked for.
    """

    statuses: dict[int, int]
    invalid: int
    bare_refusals: int
    strangers: list[tuple[str, float, float]]
    ms: tuple[float, float, float]
    rate: float
    cores: float
    rows: list[tuple[str, float, float, int]]

    def errors(self, *allowed: int) -> int:
        """How many answers are neither 200 nor allowed."""
        return sum(n for status, n in self.statuses.items() if status not in (200, *allowed))

    def wrong_items(self, lives: dict[str, tuple[float, float]] | None = None) -> int:
        """Items that could not have been recommended.

        Args:
            lives: From when to when items of others were in the catalog: their putting was sent,
                their removal was acknowledged.
        """
        known = lives or {}
        never = (float("inf"), float("-inf"))
        wrong = sum(
            not (known.get(item, never)[0] <= ended and sent <= known.get(item, never)[1])
            for item, sent, ended in self.strangers
        )
        return self.invalid + wrong


@contextmanager
def loading(plan: Plan) -> Iterator[Helper]:
    """Load on a server while the block runs."""
    with helping("eval.benchmarks.serving_load", asdict(plan)) as helper:
        yield helper


def ended(helper: Helper) -> Load:
    """End the load; what came of it."""
    report = helper.end()
    report["statuses"] = {int(status): n for status, n in report["statuses"].items()}
    return Load(**report)


def load(plan: Plan, seconds: float) -> Load:
    """Load a server for some seconds."""
    with loading(plan) as helper:
        time.sleep(seconds)
        return ended(helper)


class Generator:
    """Asks as a plan says."""

    def __init__(self, plan: Plan, end: asyncio.Event) -> None:
        self._plan, self._end = plan, end
        self._known, self._users = frozenset(plan.items), list(plan.users)
        self._random, self._numbers = random.Random(plan.seed), count()  # noqa: S311
        self._invalid = self._bare = 0
        self._strangers: list[tuple[str, float, float]] = []
        self._rows: list[tuple[str, float, float, int]] = []

    async def run(self) -> Load:
        """Ask until the end is told, and wait for what is still unanswered."""
        began, cpu = time.monotonic(), time.process_time()
        asking = asyncio.create_task(self._closed() if self._plan.rate is None else self._open())
        await self._end.wait()
        stopped = time.monotonic()
        cores = (time.process_time() - cpu) / (stopped - began)
        await asking
        good = [row for row in self._rows if row[3] == 200]
        ms = [1e3 * (answered - asked) for _, asked, answered, _ in good] or [float("nan")]
        return Load(
            dict(Counter(row[3] for row in self._rows)),
            self._invalid,
            self._bare,
            self._strangers,
            tuple(np.percentile(ms, (50, 95, 99)).tolist()),
            sum(row[2] <= stopped for row in good) / (stopped - began),
            cores,
            self._rows if self._plan.rows else [],
        )

    async def _closed(self) -> None:
        async def ask() -> None:
            connection = Connection(self._plan.url)
            while not self._end.is_set():
                if await self._ask(connection) != 200:
                    await asyncio.sleep(PAUSE)
            connection.close()

        await asyncio.gather(*(ask() for _ in range(self._plan.clients)))

    async def _open(self) -> None:
        free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for _ in range(self._plan.clients):
            free.put_nowait(Connection(self._plan.url))

        async def ask(due: float) -> None:
            connection = await free.get()
            await self._ask(connection, due)
            free.put_nowait(connection)

        tasks: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        while not self._end.is_set():
            due += self._random.expovariate(self._plan.rate or 0)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(ask(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def _ask(self, connection: Connection, due: float | None = None) -> int:
        name = f"{self._plan.seed}-{next(self._numbers)}"
        user = self._random.choice(self._users) if self._users else None
        if user is None:
            seen: Sequence[str] = self._random.choices(self._plan.items, k=HISTORY)
            body: dict[str, Any] = {"history": seen, "k": K}
        else:
            seen, body = self._plan.users[user], {"user": user, "k": K}
        asked = time.monotonic() if due is None else due
        try:
            reply = await connection.request("POST", ASK, body, [(b"X-Request-ID", name.encode())])
        except OSError as error:
            status = UNREACHABLE if isinstance(error, UnreachableError) else CUT
            self._rows.append((name, asked, time.monotonic(), status))
            return status
        self._rows.append((name, asked, reply.ended, reply.status))
        if reply.status == 200:
            items = reply.items
            foreign = [item for item in items if item not in self._known]
            known = self._known.union(foreign) if foreign else self._known
            self._invalid += invalid_items(items, K, known, seen)
            self._strangers += [(item, asked, reply.ended) for item in foreign]
        elif reply.status == 429:
            wait = reply.headers.get("retry-after", "")
            self._bare += not (wait.isdecimal() and int(wait) >= 1)
        return reply.status


async def _work(plan: dict[str, Any], end: asyncio.Event) -> dict[str, Any]:
    return asdict(await Generator(Plan(**plan), end).run())


if __name__ == "__main__":
    help_out(_work)

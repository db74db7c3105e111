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
from collections.abc import Sequence
from dataclasses import asdict
from itertools import count
from typing import Any

import numpy as np

from eval.benchmarks.serving_client import ASK, Connection, UnreachableError, invalid_items
from eval.benchmarks.serving_helper import help_out
from eval.benchmarks.serving_plan import CUT, UNREACHABLE, Load, Plan

HISTORY, K, PAUSE = 5, 10, 0.05


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
            try:
                items = reply.items
            except (KeyError, TypeError, ValueError):  # it is not what the description says
                items = []
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

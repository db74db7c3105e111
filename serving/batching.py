"""Dynamic batching: requests that come close together are read by the model together."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar, overload

from rec_gen.answers import Answer
from rec_gen.errors import RecGenError
from rec_gen.replying import Reply
from serving.config import BatchingConfig
from serving.engine import Engine
from serving.errors import ApiError
from serving.metrics import Metrics
from serving.pace import Pace
from serving.queries import ExplainQuery, Query, ReplyQuery

A = TypeVar("A")
AnyQuery = Query | ReplyQuery | ExplainQuery
Kind = type[Query] | type[ReplyQuery] | type[ExplainQuery]


@dataclass(frozen=True)
class Timed(Generic[A]):
    """An answer and where its time went.

    Attributes:
        answer: The answer.
        queue: Seconds until its batch began.
        search: Seconds that its batch took.
    """

    answer: A
    queue: float
    search: float


@dataclass(eq=False)
class _Job:
    query: AnyQuery
    deadline: float
    result: asyncio.Future[Timed[Any]]
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """Gathers queries into batches and runs one batch at a time, of one kind.

    While the engine runs, those that come gather. Before the next batch they wait at most `wait_ms`
    for the clients that were just answered to ask again, so that clients do not fall into two
    halves that wait for each other. A query whose client has left, or whose deadline has passed, is
    never run.
    """

    def __init__(self, engine: Engine, config: BatchingConfig, metrics: Metrics) -> None:
        self._config, self._metrics = config, metrics
        self._budget = (config.budget_ms or config.deadline_ms) / 1000
        metrics.queue_limit.set(config.queue)
        self._waiting: deque[_Job] = deque()
        self._came = asyncio.Event()
        self._asks: dict[Kind, Callable[[list[Any]], Awaitable[list[Any]]]] = {
            Query: engine.answer,
            ReplyQuery: engine.reply,
            ExplainQuery: partial(_explain, engine),
        }
        self._paces: dict[Kind, Pace] = {kind: Pace() for kind in self._asks}
        self._kind: Kind = Query
        self._usual = 1
        self._running, self._began = 0, 0.0
        self._runner = asyncio.create_task(self._run())

    @property
    def running(self) -> bool:
        """Whether what is submitted will be answered."""
        return not self._runner.done()

    @overload
    async def submit(self, query: Query, deadline_ms: int | None = None) -> Timed[Answer]: ...

    @overload
    async def submit(self, query: ReplyQuery, deadline_ms: int | None = None) -> Timed[Reply]: ...

    @overload
    async def submit(
        self, query: ExplainQuery, deadline_ms: int | None = None
    ) -> Timed[list[str | None]]: ...

    async def submit(self, query: AnyQuery, deadline_ms: int | None = None) -> Timed[Any]:
        """Have a query answered.

        Args:
            query: The query.
            deadline_ms: How long this may take; never more than the configured time.

        Raises:
            ApiError: 429 where the queue is full or too long for the deadline, 504 where the
                deadline has passed.
            RecGenError: The query is wrong.
        """
        limit = min(deadline_ms or self._config.deadline_ms, self._config.deadline_ms) / 1000
        self.refuse_overload(limit, type(query))
        job = _Job(query, time.monotonic() + limit, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._came.set()
        self._metrics.queue.set(len(self._waiting))
        try:
            async with asyncio.timeout(limit):
                return await job.result
        except TimeoutError:
            raise ApiError(
                504, f"there was no answer within {limit * 1000:.0f} ms", "deadline_exceeded"
            ) from None
        finally:
            job.result.cancel()
            if job.result.cancelled() and job in self._waiting:
                self._waiting.remove(job)  # it holds up nobody
                self._metrics.dropped.inc()
                self._metrics.queue.set(len(self._waiting))

    def refuse_overload(self, limit: float | None = None, kind: Kind = Query) -> None:
        """Raise where a query would not be answered in time, or not within the latency budget.

        Args:
            limit: Seconds that it has; by default all that the configuration gives.
            kind: What it asks for.

        Raises:
            ApiError: 429, with a guess in `Retry-After` at how long the queue takes.
        """
        waiting, seconds = len(self._waiting), self._expect(kind)
        limit = self._config.deadline_ms / 1000 if limit is None else limit
        busy = waiting + self._running > 0  # an idle server refuses none, and measures again
        late = busy and (seconds > limit or self._age() + seconds > self._budget)
        if waiting >= self._config.queue or late:
            raise ApiError(
                429,
                f"{waiting} requests are waiting: try again later",
                "overloaded",
                headers={"Retry-After": str(max(1, round(seconds)))},
            )

    def _expect(self, kind: Kind) -> float:
        """Seconds until a query is answered that comes now: what runs, and then what waits."""
        ran = time.monotonic() - self._began
        running = self._paces[self._kind].expect(self._running) if self._running else 0.0
        seconds = max(0.0, running - ran)
        for each, count in Counter([kind, *(type(job.query) for job in self._waiting)]).items():
            most = self._most(each)
            full, rest = divmod(count, most)
            seconds += full * self._paces[each].expect(most)
            seconds += self._paces[each].expect(rest) if rest else 0.0
        return seconds

    def _most(self, kind: Kind) -> int:
        """How many the model reads together; the items of an answer are explained by themselves."""
        return 1 if kind is ExplainQuery else self._config.max_batch

    def _age(self) -> float:
        """How long the oldest has waited, which one more may hold up."""
        return time.monotonic() - self._waiting[0].since if self._waiting else 0.0

    async def close(self) -> None:
        """Stop; what still waits is cancelled."""
        self._runner.cancel()
        await asyncio.gather(self._runner, return_exceptions=True)
        for job in self._waiting:
            job.result.cancel()

    async def _run(self) -> None:
        while True:
            await self._gather()
            if jobs := self._next():
                await self._answer(jobs)

    async def _gather(self) -> None:
        """Wait for a query, and then for as many as there were, but not for long."""
        while not self._waiting:
            self._came.clear()
            await self._came.wait()
        until = time.monotonic() + self._config.wait_ms / 1000
        while len(self._waiting) < self._usual:
            left = until - time.monotonic()
            if left <= 0:
                return
            self._came.clear()
            try:
                async with asyncio.timeout(left):
                    await self._came.wait()
            except TimeoutError:
                return

    def _next(self) -> list[_Job]:
        """The oldest queries that somebody still waits for, all of the kind of the first one."""
        jobs: list[_Job] = []
        others: list[_Job] = []
        most, now = self._config.max_batch, time.monotonic()
        while self._waiting and len(jobs) < most:
            job = self._waiting.popleft()
            if job.result.done() or job.deadline <= now:
                self._metrics.dropped.inc()
            elif jobs and type(job.query) is not type(jobs[0].query):
                others.append(job)
            else:
                jobs.append(job)
                most = self._most(type(job.query))
        self._waiting.extendleft(reversed(others))
        self._metrics.queue.set(len(self._waiting))
        return jobs

    async def _answer(self, jobs: Sequence[_Job]) -> None:
        began = self._began = time.monotonic()
        self._running, self._kind = len(jobs), type(jobs[0].query)
        self._metrics.batch_size.observe(len(jobs))
        try:
            answers = await self._asks[self._kind]([job.query for job in jobs])
        except Exception as error:  # noqa: BLE001 - who asked is told, and the server goes on
            for job in jobs:
                if not job.result.done():
                    job.result.set_exception(error)
            return
        finally:
            self._running = 0
        took = time.monotonic() - began
        self._usual = min(len(jobs) + len(self._waiting), self._config.max_batch)
        self._paces[self._kind].observe(len(jobs), took)
        for job, answer in zip(jobs, answers, strict=True):
            if job.result.done():
                continue
            if isinstance(answer, RecGenError):
                job.result.set_exception(answer)
            else:
                job.result.set_result(Timed(answer, began - job.since, took))


async def _explain(engine: Engine, queries: Sequence[ExplainQuery]) -> list[list[str | None]]:
    return [await engine.explain(query.history, query.items) for query in queries]

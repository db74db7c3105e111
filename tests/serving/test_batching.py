"""Gathering requests: batches, the bounded queue, deadlines, clients that leave."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rec_gen.answers import Answer
from rec_gen.decoding.sampling import Sampling
from rec_gen.errors import NoEligibleItemError, RecGenError, RuleError
from rec_gen.index import Filters
from rec_gen.recommender import Recommender
from rec_gen.replying import Reply, Turn
from serving.batching import AnyQuery, Batcher, Timed
from serving.config import BatchingConfig
from serving.engine import RecommenderEngine
from serving.errors import ApiError
from serving.metrics import Metrics
from serving.queries import ExplainQuery, Options, Query, ReplyQuery

pytestmark = pytest.mark.anyio


class HeldEngine(RecommenderEngine):
    """A real engine that waits for leave before each search and notes its batches."""

    def __init__(self, recommender: Recommender) -> None:
        super().__init__(recommender)
        self.batches: list[Sequence[Query | ReplyQuery]] = []
        self.leave = asyncio.Event()

    async def answer(self, queries: Sequence[Query]) -> list[Answer | RecGenError]:
        self.batches.append(queries)
        await self.leave.wait()
        return await super().answer(queries)

    async def reply(self, queries: Sequence[ReplyQuery]) -> list[Reply | RecGenError]:
        self.batches.append(queries)
        await self.leave.wait()
        return await super().reply(queries)


@pytest.fixture(scope="module")
def recommender(bundle: Path) -> Recommender:
    return Recommender.load(bundle)


@asynccontextmanager
async def held(
    recommender: Recommender, **config: Any
) -> AsyncIterator[tuple[Batcher, HeldEngine, Metrics]]:
    engine, metrics = HeldEngine(recommender), Metrics()
    batcher = Batcher(engine, BatchingConfig(**{"wait_ms": 0, **config}), metrics)
    yield batcher, engine, metrics
    await batcher.close()
    await engine.close()


async def start(
    batcher: Batcher, *queries: AnyQuery, **options: Any
) -> list[asyncio.Task[Timed[Any]]]:
    submit: Any = batcher.submit
    tasks = [asyncio.create_task(submit(query, **options)) for query in queries]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


def ids(timed: Timed[Answer]) -> list[str]:
    return [found.item.id for found in timed.answer]


async def test_those_that_come_while_the_model_is_busy_are_one_batch(
    recommender: Recommender,
) -> None:
    queries = [Query((f"i{item}",)) for item in range(8)]
    async with held(recommender, max_batch=5) as (batcher, engine, _):
        tasks = await start(batcher, queries[0])
        tasks += await start(batcher, *queries[1:])
        engine.leave.set()
        answers = await asyncio.gather(*tasks)
    assert [len(batch) for batch in engine.batches] == [1, 5, 2]
    for query, timed in zip(queries, answers, strict=True):
        (alone,) = recommender.recommend([query.history], exclude_seen=False)
        assert ids(timed) == [found.item.id for found in alone]
        assert timed.queue >= 0
        assert timed.search > 0


async def test_a_query_waits_for_as_many_as_came_before(recommender: Recommender) -> None:
    async with held(recommender, wait_ms=1000) as (batcher, engine, _):
        first = await start(batcher, Query(("i0",)))
        first += await start(batcher, *[Query(("i1",))] * 3)
        engine.leave.set()
        await asyncio.gather(*first)
        tasks = [await start(batcher, Query((f"i{item}",))) for item in range(5)]
        await asyncio.gather(*(task for (task,) in tasks))
    assert [len(batch) for batch in engine.batches] == [1, 3, 3, 2]


async def test_unlike_options_and_errors_harm_no_batch_mate(recommender: Recommender) -> None:
    queries = [
        Query(("i1",), filters=Filters(block=["i2"], where='brand == "Brand C"')),
        Query(("i1",), filters=Filters(allow=["i3"])),
        Query(("i1",), filters=Filters(where="nothing > 1")),
        Query(("i1",), filters=Filters(allow=["i3"], block=["i3"])),
        Query(("i1",), options=Options(k=2)),
        Query((), options=Options(sampling=Sampling(2.0, 7))),
        Query((), options=Options(k=12, max_per=("brand", 1))),
    ]
    async with held(recommender) as (batcher, engine, _):
        tasks = await start(batcher, Query(("i0",)))
        tasks += await start(batcher, *queries)
        engine.leave.set()
        _, *found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [len(batch) for batch in engine.batches] == [1, 7]
    assert isinstance(found[2], RuleError)
    assert isinstance(found[3], NoEligibleItemError)
    rest = [ids(timed) for timed in found if isinstance(timed, Timed)]
    assert set(rest[0]) == {"i5", "i8", "i11"}
    assert rest[1] == ["i3"]
    assert [len(answer) for answer in rest[2:]] == [2, 10, 3]
    (drawn,) = recommender.recommend([[]], sampling=Sampling(2.0, 7))
    assert rest[3] == [one.item.id for one in drawn]


async def test_a_full_queue_refuses_and_says_when_to_come_back(recommender: Recommender) -> None:
    async with held(recommender, queue=3) as (batcher, engine, metrics):
        tasks = await start(batcher, Query(("i0",)))
        tasks += await start(batcher, *[Query(("i1",))] * 3)
        assert metrics.registry.get_sample_value("recgen_queue_length") == 3
        with pytest.raises(ApiError) as caught:
            await batcher.submit(Query(("i2",)))
        assert (caught.value.status, caught.value.code) == (429, "overloaded")
        assert int(caught.value.headers["Retry-After"]) >= 1
        engine.leave.set()
        await asyncio.gather(*tasks)
        await batcher.submit(Query(("i2",)))


async def test_a_wait_beyond_the_deadline_is_refused_at_once(recommender: Recommender) -> None:
    async with held(recommender, max_batch=1) as (batcher, engine, _):
        engine.leave.set()
        (first,) = await start(batcher, Query(("i0",)))
        slow = await first
        engine.leave.clear()
        tasks = await start(batcher, *[Query(("i1",))] * 20)
        soon = max(1, int(slow.search * 1000))
        with pytest.raises(ApiError) as caught:
            await batcher.submit(Query(("i2",)), deadline_ms=soon)
        assert caught.value.status == 429
        engine.leave.set()
        await asyncio.gather(*tasks)


async def test_what_would_miss_the_budget_is_refused_unless_the_server_is_idle(
    recommender: Recommender,
) -> None:
    async with held(recommender, budget_ms=0.001) as (batcher, engine, _):
        engine.leave.set()
        for _ in range(2):
            await batcher.submit(Query(("i0",)))
        engine.leave.clear()
        (running,) = await start(batcher, Query(("i0",)))
        with pytest.raises(ApiError) as caught:
            await batcher.submit(Query(("i1",)))
        assert (caught.value.status, caught.value.code) == (429, "overloaded")
        engine.leave.set()
        await running
    async with held(recommender, budget_ms=1e6) as (batcher, engine, _):
        tasks = await start(batcher, *[Query(("i0",))] * 40)
        engine.leave.set()
        assert len(await asyncio.gather(*tasks)) == 40


async def test_what_nobody_waits_for_any_more_is_never_run(recommender: Recommender) -> None:
    async with held(recommender) as (batcher, engine, metrics):
        (running,) = await start(batcher, Query(("i0",)))
        left, kept = await start(batcher, Query(("i1",)), Query(("i2",)))
        with pytest.raises(ApiError) as caught:
            await batcher.submit(Query(("i3",)), deadline_ms=20)
        assert (caught.value.status, caught.value.code) == (504, "deadline_exceeded")
        left.cancel()
        engine.leave.set()
        await asyncio.gather(running, kept)
    assert [query.history for query in engine.batches[1]] == [("i2",)]
    assert metrics.registry.get_sample_value("recgen_dropped_total") == 2


async def test_what_nobody_waits_for_takes_no_place_in_the_queue(recommender: Recommender) -> None:
    async with held(recommender, queue=2) as (batcher, engine, metrics):
        (running,) = await start(batcher, Query(("i0",)))
        late = await start(batcher, Query(("i1",)), Query(("i2",)), deadline_ms=20)
        await asyncio.gather(*late, return_exceptions=True)
        assert metrics.registry.get_sample_value("recgen_queue_length") == 0
        (alive,) = await start(batcher, Query(("i3",)))
        engine.leave.set()
        await asyncio.gather(running, alive)


async def test_reasons_wait_their_turn_and_no_longer_than_their_deadline(
    tasks_bundle: Path,
) -> None:
    async with held(Recommender.load(tasks_bundle)) as (batcher, engine, _):
        (running,) = await start(batcher, Query(("i0",)))
        asked = ExplainQuery(("i1", "i2"), ("i4",))
        with pytest.raises(ApiError) as caught:
            await batcher.submit(asked, deadline_ms=20)
        assert caught.value.status == 504
        right, wrong = await start(batcher, asked, ExplainQuery(("i1",), ("nothing",)))
        engine.leave.set()
        await running
        assert (await right).answer == engine._recommender.explain(["i1", "i2"], ["i4"])
        with pytest.raises(RecGenError, match="nothing"):
            await wrong


async def test_reasons_are_given_as_soon_as_they_are_known(
    tasks_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held(Recommender.load(tasks_bundle)) as (batcher, engine, _):
        explain, given = engine.explain, []

        async def counted(*args: Any) -> list[str | None]:
            for _ in range(5):
                await asyncio.sleep(0)
            given.append(sum(task.done() for task in tasks))
            return await explain(*args)

        monkeypatch.setattr(engine, "explain", counted)
        tasks = await start(batcher, *[ExplainQuery(("i1",), ("i4",))] * 3)
        await asyncio.gather(*tasks)
        assert given == [0, 1, 2]


async def test_a_broken_engine_fails_its_batch_and_not_the_next(recommender: Recommender) -> None:
    async with held(recommender) as (batcher, engine, _):
        engine.leave.set()
        broken = Query((), filters=3)  # type: ignore[arg-type]
        with pytest.raises(AttributeError):
            await batcher.submit(broken)
        assert len((await batcher.submit(Query(("i1",)))).answer) == 10


async def test_lists_and_replies_wait_in_one_queue_and_run_apart(recommender: Recommender) -> None:
    lists = [Query((f"i{item}",)) for item in range(3)]
    replies = [ReplyQuery((Turn("user", f"{number}"),)) for number in range(3)]
    order: list[Query | ReplyQuery] = [replies[0], lists[0], replies[1], lists[1], replies[2]]
    async with held(recommender, max_batch=2, queue=5) as (batcher, engine, metrics):
        tasks = await start(batcher, lists[2])
        tasks += await start(batcher, *order)
        assert metrics.queue._value.get() == 5
        for query in order[:2]:
            (refused,) = await start(batcher, query)
            with pytest.raises(ApiError, match="5 requests are waiting") as caught:
                await refused
            assert caught.value.status == 429
        engine.leave.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    kinds = [[lists[2]], [replies[0], replies[1]], [lists[0], lists[1]], [replies[2]]]
    assert engine.batches == kinds
    answered = [isinstance(one, Timed) for one in answers]
    assert answered == [True, False, True, False, True, False]  # this model has not learnt to reply
    assert all("'reply'" in str(one) for one in answers[1::2])

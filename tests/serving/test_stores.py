"""Every store keeps what it has acknowledged, and says so when it cannot."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.event import listen

from serving.errors import ConflictError, StoreError
from serving.redis_store import RedisStore
from serving.sql_store import SqlStore
from serving.store import Change, Event, open_store, without_password
from tests.rec_gen.command import error
from tests.serving.stores import postgres, redis

pytestmark = pytest.mark.anyio
EVENT = Event("shop", "ann", "i1", "click", 1.5, "s", "k1")


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "redis"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{folder}/deep/er/store.db"
        else:
            server = postgres() if request.param == "postgresql" else redis(folder)
            yield stack.enter_context(server)[0]


async def test_histories_are_in_order_and_of_one_user(url: str) -> None:
    store = await open_store(url)
    items = [f"i{item}" for item in range(5)]
    for place, item in enumerate(items):
        event = Event("t", "o'hara \u00fc\U0001f600", item, "view", place, "st"[place % 2])
        assert await store.add_event(event)
    assert await store.add_event(Event("t2", "o'hara \u00fc\U0001f600", "i9", "view", 0))
    await store.close()
    store = await open_store(url)
    user = "o'hara \u00fc\U0001f600"
    assert [event.item for event in await store.history("t", user, 99)] == items
    assert [event.item for event in await store.history("t", user, 2)] == items[-2:]
    assert [event.item for event in await store.history("t", user, 2, "s")] == ["i2", "i4"]
    assert await store.history("t", "nobody", 99) == []
    assert await store.history("t", user, 99, "x") == []
    assert await store.erase("t", user) == 5
    assert await store.erase("t", user) == 0
    await store.scrub()
    assert await store.history("t", user, 99) == []
    assert len(await store.history("t2", user, 99)) == 1
    await store.check()
    await store.close()


async def test_histories_are_of_one_domain_where_it_is_named(url: str) -> None:
    store = await open_store(url)
    for place in range(6):
        event = Event("d", "ann", f"i{place}", "view", place, "st"[place % 2])
        assert await store.add_event(replace(event, domain="books" if place in (1, 2, 4) else ""))
    for domains, items in (
        (None, ["i4", "i5"]), ([""], ["i3", "i5"]), (["books"], ["i2", "i4"]),
        (["", "books"], ["i4", "i5"]), (["toys"], []),
    ):  # fmt: skip
        events = await store.history("d", "ann", 2, domains=domains)
        assert [event.item for event in events] == items
    (event,) = await store.history("d", "ann", 9, "t", ["books"])
    assert (event.item, event.domain) == ("i1", "books")
    assert await store.erase("d", "ann") == 6
    await store.close()


async def test_what_an_older_version_kept_is_of_the_first_domain(url: str) -> None:
    store = await open_store(url)
    event = Event("old", "ann", "i1", "view", 1.5)
    assert await store.add_event(event)
    if isinstance(store, SqlStore):
        async with store._transaction() as connection:
            await connection.execute(text("ALTER TABLE events DROP COLUMN domain"))
    elif isinstance(store, RedisStore):
        (place,) = await store._redis.keys("*old*events*")
        assert "domain" not in json.loads(str(await store._redis.lindex(place, 0)))
    await store.close()
    for store in await asyncio.gather(*(open_store(url) for _ in range(4))):
        assert await store.history("old", "ann", 9, domains=[""]) == [event]
        await store.close()


async def test_order_is_that_of_acknowledgement_whatever_the_clock_says(url: str) -> None:
    stores = [await open_store(url), await open_store(url)]  # two servers, each with its own clock
    times = [50.0, 10.0, 90.0, -3600.0, 90.0, 20.0]
    for place, time in enumerate(times):
        event = Event("clock", "ann", f"i{place}", "view", time, "st"[place % 2])
        assert await stores[place % 2].add_event(event)
    for store in stores:
        events = await store.history("clock", "ann", 99)
        assert [(event.item, event.time) for event in events] == [
            (f"i{place}", time) for place, time in enumerate(times)
        ]
        assert [one.item for one in await store.history("clock", "ann", 2)] == ["i4", "i5"]
        assert [one.item for one in await store.history("clock", "ann", 2, "t")] == ["i3", "i5"]
        await store.close()


async def test_a_key_counts_once_however_many_come_at_once(url: str) -> None:
    store = await open_store(url)
    kept = await asyncio.gather(*(store.add_event(replace(EVENT, time=n)) for n in range(20)))
    assert sorted(kept) == [False] * 19 + [True]
    assert len(await store.history("shop", "ann", 99)) == 1
    assert await store.add_event(replace(EVENT, tenant="other"))
    with pytest.raises(ConflictError):
        await store.add_event(replace(EVENT, item="i2"))
    assert all([await store.add_event(replace(EVENT, key="")) for _ in range(2)])
    assert await store.erase("shop", "ann") == 3
    assert await store.add_event(EVENT)
    await store.close()


async def test_changes_have_one_order_for_all(url: str) -> None:
    first, second = await open_store(url), await open_store(url)
    row = {"title": "T \u2028", "fields": {"n": [1, None]}, "codes": None}
    numbers = await asyncio.gather(
        *(
            store.change_catalog([Change("a", row), Change("b", None)])
            for store in [first, second] * 5
        )
    )
    assert sorted(numbers) == list(range(2, 21, 2))
    changes, last = await first.changes(0)
    assert last == 20
    assert changes == [Change("a", row), Change("b", None)] * 10
    assert await second.changes(18) == (changes[18:], 20)
    assert await second.changes(20) == ([], 20)
    await first.close()
    await second.close()


@pytest.mark.parametrize(
    "url",
    [
        "runs/store.db", "postgres://h/d", "mysql://h/d", "redis://h:abc", "postgresql://u:pw@h:x/d",
        "postgresql://u:pw/pw@h/d", "redis://:pw?pw@h/0", "mysql://u:pw@pw@h/d",
    ],
)  # fmt: skip
async def test_what_is_no_url_of_a_store_is_one_line(url: str) -> None:
    with pytest.raises(StoreError, match=r"write sqlite:///FILE, postgresql://") as caught:
        await open_store(url)
    assert "pw" not in str(caught.value)
    code, line = error("forget", "ann", "--store", url)
    assert code == 1
    assert "write sqlite:///FILE" in line


def test_a_url_is_shown_without_its_password() -> None:
    assert without_password("postgresql://ann:se@cret@h:1/d") == "postgresql://h:1/d"
    assert without_password("postgresql://h/d?user=ann&password=s@cret") == "postgresql://h/d"
    assert without_password("redis://:secret@h/0") == "redis://h/0"
    assert without_password("redis://ann:1/secret@h/0") == "redis://…"
    assert without_password("sqlite:///a/b@c.db") == "sqlite:///a/b@c.db"


async def test_a_database_that_went_away_is_told_and_found_again(tmp_path: Path) -> None:
    with redis(tmp_path) as (url, _):
        store = await open_store(url)
        assert await store.add_event(EVENT)
    for call in (store.check(), store.add_event(EVENT), store.history("shop", "ann", 9)):
        with pytest.raises(StoreError):
            await call
    with redis(tmp_path, port=int(url.split(":")[2].split("/")[0])):
        assert await store.history("shop", "ann", 9) == [EVENT]
    await store.close()


@pytest.mark.slow
async def test_postgresql_that_went_away_is_told() -> None:
    with postgres() as (url, _):
        store = await open_store(url)
        assert await store.add_event(EVENT)
    for call in (store.check(), store.add_event(EVENT), store.changes(0)):
        with pytest.raises(StoreError):
            await call
    await store.close()
    with pytest.raises(StoreError, match="cannot be used"):
        await open_store(url)


async def test_a_redis_that_forgets_is_refused(tmp_path: Path) -> None:
    refused = pytest.raises(StoreError, match="--appendfsync always")
    with redis(tmp_path, "--appendonly", "no") as (url, _), refused:
        await open_store(url)


async def test_a_full_disk_is_told_and_what_was_kept_stays(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await open_store(f"sqlite:///{path}")
    assert await store.add_event(EVENT)
    await store.close()
    # a database that may not grow any more answers as one on a full disk does: SQLITE_FULL
    store = await open_store(f"sqlite:///{path}")
    assert isinstance(store, SqlStore)
    full = "PRAGMA max_page_count = 1"
    listen(store._engine.sync_engine, "connect", lambda raw, _: raw.execute(full))
    await store._engine.dispose()
    events = [replace(EVENT, key=f"n{number}", user="x" * 200) for number in range(200)]
    answers = [
        await asyncio.gather(store.add_event(event), return_exceptions=True) for event in events
    ]
    errors = [answer for (answer,) in answers if isinstance(answer, StoreError)]
    assert "full" in str(errors[-1])
    assert len(await store.history("shop", "x" * 200, 999)) == 200 - len(errors)
    assert await store.history("shop", "ann", 9) == [EVENT]
    await store.close()


async def test_sqlite_writes_before_it_answers(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/store.db")
    assert isinstance(store, SqlStore)
    async with store._transaction() as connection:
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar_one() == 2
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar_one() == "wal"
    await store.close()


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"store\.db.*not a database"):
        await open_store(f"sqlite:///{path}")

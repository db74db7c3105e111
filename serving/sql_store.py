"""A store in SQLite or PostgreSQL."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    delete,
    event,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from serving.errors import ConflictError, StoreError
from serving.store import Change, Event

_NUMBER = BigInteger().with_variant(Integer, "sqlite")
_TABLES = MetaData()
_EVENTS = Table(
    "events",
    _TABLES,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("time", Double, nullable=False),
    Column("key", Text),  # null is never equal to null
    Column("domain", Text, nullable=False, server_default=""),
    UniqueConstraint("tenant", "key"),
)
_CHANGES = Table(
    "catalog_changes",
    _TABLES,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("item", Text, nullable=False),
    Column("row", Text),
    sqlite_autoincrement=True,
)
_INDEX = 'CREATE INDEX IF NOT EXISTS events_of_user ON events (tenant, "user", number)'
_LOCK = 7_305_441_122
"""The advisory lock of PostgreSQL under which changes get their numbers in order."""
_TRIES = 50
"""How often the write-ahead log is emptied before somebody who reads it is told of."""


class SqlStore:
    """A store in SQLite or PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        dialect = sqlite if self._sqlite else postgresql
        self._insert_event = (
            dialect.insert(_EVENTS).on_conflict_do_nothing().returning(_EVENTS.c.number)
        )

    @classmethod
    async def open(cls, url: str) -> "SqlStore":
        """Open the store, and make its tables where there are none.

        Raises:
            StoreError: It cannot be opened.
        """
        if url.startswith("sqlite:///"):
            path = Path(url.removeprefix("sqlite:///"))
            path.parent.mkdir(parents=True, exist_ok=True)
            engine = create_async_engine(
                f"sqlite+aiosqlite:///{path}", hide_parameters=True, connect_args={"timeout": 5}
            )
            event.listen(engine.sync_engine, "connect", _make_durable)
        else:
            engine = create_async_engine(
                url.replace("postgresql://", "postgresql+asyncpg://", 1),
                hide_parameters=True,
                pool_pre_ping=True,
                pool_timeout=5,
                connect_args={"timeout": 5, "command_timeout": 5},
            )
        store = cls(engine)
        async with store._transaction() as connection:
            current = await connection.run_sync(_is_current)
        if not current:
            async with store._transaction() as connection:
                if store._sqlite:
                    await connection.execute(text("BEGIN IMMEDIATE"))  # one server makes the tables
                await connection.run_sync(_make_tables)
                await connection.execute(text(_INDEX))
        return store

    async def add_event(self, event: Event) -> bool:
        """Keep an event; False where one with its key was kept before."""
        row = {
            "tenant": event.tenant,
            "user": event.user,
            "session": event.session,
            "item": event.item,
            "kind": event.kind,
            "time": event.time,
            "key": event.key or None,
            "domain": event.domain,
        }
        async with self._transaction() as connection:
            if (await connection.execute(self._insert_event, row)).first() is not None:
                return True
            known = select(_EVENTS).where(
                _EVENTS.c.tenant == event.tenant, _EVENTS.c.key == event.key
            )
            kept = (await connection.execute(known)).first()
        if kept is not None and not event.same(_as_event(kept)):
            raise ConflictError("this idempotency key names another event: give a new one")
        return False

    async def history(
        self,
        tenant: str,
        user: str,
        last: int,
        session: str | None = None,
        domains: Collection[str] | None = None,
    ) -> list[Event]:
        """The last events of a user, oldest first; of one session, and of domains, if given."""
        query = select(_EVENTS).where(_EVENTS.c.tenant == tenant, _EVENTS.c.user == user)
        if session is not None:
            query = query.where(_EVENTS.c.session == session)
        if domains is not None:
            query = query.where(_EVENTS.c.domain.in_(domains))
        query = query.order_by(_EVENTS.c.number.desc()).limit(last)
        async with self._transaction() as connection:
            rows = (await connection.execute(query)).all()
        return [_as_event(row) for row in reversed(rows)]

    async def erase(self, tenant: str, user: str) -> int:
        """Forget a user; how many events there were."""
        query = delete(_EVENTS).where(_EVENTS.c.tenant == tenant, _EVENTS.c.user == user)
        async with self._transaction() as connection:
            return int((await connection.execute(query)).rowcount)

    async def scrub(self) -> None:
        """Leave nothing of what was erased in the store's own files.

        SQLite writes its file anew and empties the write-ahead log; writers wait meanwhile. What
        PostgreSQL keeps of erased rows goes by its own vacuum.
        """
        if not self._sqlite:
            return
        async with self._errors():
            connecting = self._engine.execution_options(isolation_level="AUTOCOMMIT").connect()
            async with connecting as connection:
                await connection.execute(text("VACUUM"))
                for _ in range(_TRIES):
                    emptied = await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
                    if not emptied.one()[0]:
                        return
                    await asyncio.sleep(0.1)
        raise StoreError("the store's write-ahead log is being read: try again")

    async def change_catalog(self, changes: Sequence[Change]) -> int:
        """Keep changes, all or none; the number of the last one."""
        rows = [
            {"item": change.item, "row": None if change.row is None else json.dumps(change.row)}
            for change in changes
        ]
        async with self._transaction() as connection:
            if not self._sqlite:
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            await connection.execute(_CHANGES.insert(), rows)
            last = select(func.max(_CHANGES.c.number))
            return int((await connection.execute(last)).scalar_one())

    async def changes(self, after: int) -> tuple[list[Change], int]:
        """The changes after a number in order, and the number of the last one."""
        query = select(_CHANGES).where(_CHANGES.c.number > after).order_by(_CHANGES.c.number)
        async with self._transaction() as connection:
            rows = (await connection.execute(query)).all()
        found = [Change(row.item, None if row.row is None else json.loads(row.row)) for row in rows]
        return found, rows[-1].number if rows else after

    async def check(self) -> None:
        """Raise where the store cannot be used."""
        async with self._transaction() as connection:
            await connection.execute(select(1))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        async with self._errors(), self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            place = self._engine.url.render_as_string(hide_password=True)
            reason = str(getattr(error, "orig", None) or error).splitlines()[:1]
            raise StoreError(f"{place}: cannot be used: {' '.join(reason)}") from error


def _is_current(connection: Connection) -> bool:
    """Whether there are all tables, and no older version made them."""
    found = inspect(connection)
    if not all(found.has_table(name) for name in _TABLES.tables):
        return False
    return any(column["name"] == "domain" for column in found.get_columns("events"))


def _make_tables(connection: Connection) -> None:
    """Make the tables, and add the column that an older version did not make."""
    _TABLES.create_all(connection)
    if not _is_current(connection):
        unless = "" if connection.dialect.name == "sqlite" else "IF NOT EXISTS"
        added = f"ALTER TABLE events ADD COLUMN {unless} domain TEXT DEFAULT '' NOT NULL"
        connection.execute(text(added))


def _make_durable(connection: Any, _: object) -> None:
    """A commit is on disk before it returns, and readers do not wait for a writer.

    What is erased is overwritten.
    """
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def _as_event(row: Any) -> Event:
    told = (row.tenant, row.user, row.item, row.kind, row.time, row.session)
    return Event(*told, row.key or "", row.domain)

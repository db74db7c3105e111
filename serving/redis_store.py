"""A store in Redis."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from serving.errors import ConflictError, StoreError
from serving.store import Change, Event

_CATALOG = "recgen:catalog"
_ADD = """
if ARGV[1] ~= '' and redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 0 then
  return redis.call('HGET', KEYS[2], ARGV[1])
end
redis.call('RPUSH', KEYS[1], ARGV[2])
return ''
"""
_ERASE = """
local rows = redis.call('LRANGE', KEYS[1], 0, -1)
for _, row in ipairs(rows) do
  local key = cjson.decode(row)['key']
  if type(key) == 'string' and key ~= '' then redis.call('HDEL', KEYS[2], key) end
end
redis.call('DEL', KEYS[1])
return #rows
"""
logger = logging.getLogger(__name__)


class RedisStore:
    """A store in Redis: a list of events a user, and a list of changes of the catalog."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._add, self._erase = redis.register_script(_ADD), redis.register_script(_ERASE)

    @classmethod
    async def open(cls, url: str) -> "RedisStore":
        """Open the store.

        Raises:
            StoreError: It cannot be opened, or acknowledges what it has not written.
        """
        redis = Redis.from_url(
            url, decode_responses=True, socket_timeout=5, socket_connect_timeout=5
        )
        store = cls(redis)
        try:
            async with store._errors():
                await store._refuse_forgetful()
        except BaseException:
            await store.close()
            raise
        return store

    async def add_event(self, event: Event) -> bool:
        """Keep an event; False where one with its key was kept before."""
        keys = [_events(event.tenant, event.user), _keys(event.tenant)]
        async with self._errors():
            kept = await self._add(keys, [event.key, _row(event)])
        if kept and not event.same(Event(**json.loads(kept))):
            raise ConflictError("this idempotency key names another event: give a new one")
        return not kept

    async def history(
        self,
        tenant: str,
        user: str,
        last: int,
        session: str | None = None,
        domains: Collection[str] | None = None,
    ) -> list[Event]:
        """The last events of a user, oldest first; of one session, and of domains, if given."""
        read = last
        while True:
            async with self._errors():
                rows = await self._redis.lrange(_events(tenant, user), -read, -1)
            found = [
                one
                for one in (Event(**json.loads(row)) for row in rows)
                if session in (None, one.session) and (domains is None or one.domain in domains)
            ]
            if len(found) >= last or len(rows) < read:
                return found[-last:]
            read *= 4  # the others may be older

    async def erase(self, tenant: str, user: str) -> int:
        """Forget a user; how many events there were."""
        async with self._errors():
            return int(await self._erase([_events(tenant, user), _keys(tenant)]))

    async def scrub(self) -> None:
        """Leave nothing of what was erased in the append-only file, which is written anew.

        Snapshots that were made before are not touched.
        """
        async with self._errors():
            await self._rewritten()
            await self._redis.bgrewriteaof()
            status = await self._rewritten()
        if status != "ok":
            raise StoreError("redis could not write its append-only file anew: see its log")

    async def _rewritten(self) -> str:
        """Wait until the append-only file is not being written anew; how that ended."""
        running = ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
        while True:
            said = await self._redis.info("persistence")
            if not any(said[name] for name in running):
                return str(said["aof_last_bgrewrite_status"])
            await asyncio.sleep(0.05)

    async def change_catalog(self, changes: Sequence[Change]) -> int:
        """Keep changes, all or none; the number of the last one."""
        rows = [json.dumps(asdict(change)) for change in changes]
        async with self._errors():
            return int(await self._redis.rpush(_CATALOG, *rows))

    async def changes(self, after: int) -> tuple[list[Change], int]:
        """The changes after a number in order, and the number of the last one."""
        async with self._errors():
            rows = await self._redis.lrange(_CATALOG, after, -1)
        return [Change(**json.loads(row)) for row in rows], after + len(rows)

    async def check(self) -> None:
        """Raise where the store cannot be used."""
        async with self._errors():
            await self._redis.ping()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose()

    async def _refuse_forgetful(self) -> None:
        try:
            said = await self._redis.config_get("append*")
        except ResponseError:
            logger.warning("redis does not tell whether it writes before it answers")
            return
        if said.get("appendonly") != "yes" or said.get("appendfsync") != "always":
            raise StoreError(
                "redis answers before it has written: start it with --appendonly yes "
                "--appendfsync always"
            )

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        try:
            yield
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreError(f"redis: cannot be used: {error}") from error


def _row(event: Event) -> str:
    """An event as it is kept, so that servers of before domains read it where it has none."""
    told = asdict(event)
    return json.dumps(told if event.domain else {k: v for k, v in told.items() if k != "domain"})


def _events(tenant: str, user: str) -> str:
    return f"recgen:{{{tenant}}}:events:{user}"


def _keys(tenant: str) -> str:
    return f"recgen:{{{tenant}}}:keys"

"""An engine that outlives the processes that run its model."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from rec_gen.answers import Answer
from rec_gen.catalog import Catalog, Item
from rec_gen.errors import RecGenError
from rec_gen.live_bundle import LiveBundle
from rec_gen.names import Names
from rec_gen.replying import Reply
from rec_gen.respelling import Codes
from serving.engine import Commit, MortalEngine
from serving.errors import EngineDownError
from serving.queries import Query, ReplyQuery

A = TypeVar("A", Answer, Reply)
LONGEST_PAUSE = 60.0
"""Seconds between two starts, at most; also how long an engine must live to be good."""
KEPT_SECONDS = 30.0
"""How long a change that was kept waits for an engine that makes it."""
logger = logging.getLogger(__name__)


class RestartingEngine:
    """Starts an engine again when it goes down, and tells it how the catalog was changed.

    Until it is there, requests are refused. Versions of the catalog go on where they were.

    Args:
        engine: The engine that runs.
        start: Starts another one.
    """

    def __init__(self, engine: MortalEngine, start: Callable[[], Awaitable[MortalEngine]]) -> None:
        self._engine, self._start = engine, start
        self.name, self.models = engine.name, engine.models
        self.template, self.tasks = engine.template, engine.tasks
        self._changes = _Changes()
        self._before = 0  # versions that the engine does not count
        self._usual_seconds, self._since = 1.0, time.monotonic()
        self._replaced = asyncio.Condition()
        self._keeper = asyncio.create_task(self._keep())

    @property
    def up(self) -> bool:
        """Whether there is an engine that answers."""
        return self._engine.up

    @property
    def catalog(self) -> Catalog:
        """The items as they are now, with the removed ones."""
        return self._engine.catalog

    @property
    def domains(self) -> Mapping[str, LiveBundle]:
        """All catalogs as they are now, the first one first."""
        return self._engine.domains

    @property
    def names(self) -> Names:
        """The names of the items as they are now."""
        return self._engine.names

    @property
    def version(self) -> int:
        """How often the catalog was changed since the first engine started."""
        return self._before + self._engine.version

    async def answer(self, queries: Sequence[Query]) -> list[Answer | RecGenError]:
        """Answer a batch."""
        engine, before = self._current(), self._before
        return _since(before, await engine.answer(queries))

    async def reply(self, queries: Sequence[ReplyQuery]) -> list[Reply | RecGenError]:
        """Reply to a batch."""
        engine, before = self._current(), self._before
        return _since(before, await engine.reply(queries))

    async def explain(self, history: Sequence[str], items: Sequence[str]) -> list[str | None]:
        """Explain the items of one answer."""
        return await self._current().explain(history, items)

    async def update(
        self, put: Iterable[Item], remove: Iterable[str], codes: Codes, commit: Commit | None = None
    ) -> int:
        """Change the catalog; a change that was kept is made even if the engine goes down.

        Raises:
            EngineDownError: There is no engine, or none that makes a kept change comes in time; it
                is made then as soon as there is one.
        """
        put, remove = list(put), list(remove)
        kept = False

        async def keep() -> None:
            nonlocal kept
            if commit is not None:
                await commit()
            self._changes.add(put, remove, codes)
            kept = True

        engine, before = self._current(), self._before
        try:
            return before + await engine.update(put, remove, codes, keep)
        except Exception:
            if not kept:
                raise
            logger.exception("a kept change was not made: the next engine is told of it")
            engine.kill()
        try:
            async with asyncio.timeout(KEPT_SECONDS), self._replaced:
                await self._replaced.wait_for(lambda: self._engine is not engine)
                return self.version
        except TimeoutError:
            raise EngineDownError(self._usual_seconds) from None

    async def close(self) -> None:
        """Let go of the engine."""
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        await self._engine.close()

    def _current(self) -> MortalEngine:
        if not self.up:
            raise EngineDownError(self._usual_seconds)
        return self._engine

    async def _keep(self) -> None:
        pause = 0.0
        while True:
            await self._engine.wait_until_down()
            began, lived = time.monotonic(), time.monotonic() - self._since
            logger.error("the engine went down", extra={"fields": {"lived_seconds": round(lived)}})
            try:
                await self._engine.close()
            except Exception:  # it is gone whatever it says
                logger.exception("the engine was not closed")
            pause = 0.0 if lived > LONGEST_PAUSE else _longer(pause)
            while (engine := await self._another(pause)) is None:
                pause = _longer(pause)
            self._since = time.monotonic()
            self._usual_seconds = self._since - began
            async with self._replaced:
                self._engine, self._before = engine, self.version + 1 - engine.version
                self._replaced.notify_all()
            told = {"seconds": round(self._usual_seconds, 1)}
            logger.warning("the engine is up again", extra={"fields": told})

    async def _another(self, pause: float) -> MortalEngine | None:
        """An engine that knows the catalog; None where it does not start."""
        await asyncio.sleep(pause)
        try:
            engine = await self._start()
            try:
                await self._changes.tell(engine)
            except BaseException:
                await engine.close()
                raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it may be mended meanwhile
            reason = {"reason": str(error), "next_seconds": _longer(pause)}
            logger.error("the engine does not start", extra={"fields": reason})
            return None
        return engine


class _Changes:
    """What a catalog has become since its bundle was made, each item once."""

    def __init__(self) -> None:
        self._put: dict[str, Item] = {}
        self._codes: dict[str, Sequence[int]] = {}
        self._removed: set[str] = set()

    def add(self, put: Iterable[Item], remove: Iterable[str], codes: Codes) -> None:
        for item in put:
            self._put[item.id] = item
            self._removed.discard(item.id)
        self._codes.update(codes)
        self._removed.update(remove)

    async def tell(self, engine: MortalEngine) -> None:
        """Change a new engine's catalog; items that came and went stay known."""
        if self._put:
            await engine.update(self._put.values(), (), self._codes)
        if self._removed:
            await engine.update((), self._removed, {})


def _longer(pause: float) -> float:
    return min(LONGEST_PAUSE, max(1.0, 2 * pause))


def _since(before: int, answers: list[A | RecGenError]) -> list[A | RecGenError]:
    """Answers with their versions counted from the first engine's start."""
    if not before:
        return answers
    return [
        one if isinstance(one, RecGenError) else replace(one, version=before + one.version)
        for one in answers
    ]

"""The catalog as it changes: applied to the engine, kept in the store, replayed at the start."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from rec_gen.catalog import Catalog, Item
from rec_gen.errors import DataError, RecGenError, SpellingError
from serving.engine import Commit, Engine
from serving.errors import ApiError, EngineDownError, StoreError
from serving.item_search import passing
from serving.metrics import Metrics
from serving.store import Change, Store

FOLLOW_SECONDS = 0.5
"""How often a server looks for what others with the same store have changed."""
_MISFITS = DataError, SpellingError
"""What a change may have done wrong itself; all else is this server's trouble, and may pass."""
logger = logging.getLogger(__name__)


class LiveCatalog:
    """Changes the engine's catalog, and keeps each change before it is acknowledged."""

    def __init__(self, engine: Engine, store: Store, metrics: Metrics) -> None:
        self._engine, self._store, self._metrics = engine, store, metrics
        self._changing = asyncio.Lock()
        self._number = 0
        self._removed: dict[str, int] = {}

    @property
    def catalog(self) -> Catalog:
        """The items as they are now, with the removed ones."""
        return self._engine.catalog

    def offers(self, item: str) -> bool:
        """Whether an item may be returned."""
        return item in self.catalog.positions and item not in self._removed

    def offered(self, where: str | None = None) -> tuple[Catalog, npt.NDArray[np.bool_]]:
        """The items as they are now, and which of them may be returned; bool [items].

        Raises:
            RuleError: The rule `where` is wrong.
        """
        catalog, removed = self.catalog, list(self._removed)
        known = [catalog.positions[item] for item in removed if item in catalog.positions]
        passed = passing(catalog, where).copy()  # a column's own memory cannot be written
        passed[known] = False
        return catalog, passed

    def invalid(self, items: Iterable[Item], version: int) -> int:
        """How many items of an answer were not offered in its version of the catalog."""
        known = self.catalog.positions
        return sum(
            item.id not in known or self._removed.get(item.id, version + 1) <= version
            for item in items
        )

    async def put(self, items: Sequence[Item], codes: Mapping[str, Sequence[int]]) -> int:
        """Add or replace items; the new version.

        Raises:
            RecGenError: An item does not fit the catalog or the model.
            StoreError: The change cannot be kept; then nothing changes.
            EngineDownError: The engine is started again; a change that is already kept is made
                by the next engine.
        """
        rows = [
            {"title": item.title, "fields": dict(item.fields), "codes": codes.get(item.id)}
            for item in items
        ]
        changes = [Change(item.id, row) for item, row in zip(items, rows, strict=True)]
        return await self._change(changes)

    async def remove(self, item: str) -> int:
        """Stop returning an item; the new version.

        Raises:
            ApiError: It is not offered.
            StoreError: The change cannot be kept; then nothing changes.
            EngineDownError: The engine is started again; a change that is already kept is made
                by the next engine.
        """
        if not self.offers(item):
            raise ApiError(404, f"item '{item}' is not offered", "item_not_found", "item")
        return await self._change([Change(item, None)])

    async def follow(self) -> None:
        """Apply what other servers change, until this is cancelled."""
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            try:
                if self._engine.up:
                    async with self._changing:
                        await self.catch_up()
            except EngineDownError:
                continue  # and look again once it is there
            except StoreError:
                self._metrics.store_up.set(0)
                logger.warning("the store cannot be read for changes of the catalog")
            except RecGenError as error:
                told = {"error": str(error)}
                logger.error("changes of another server wait", extra={"fields": told})

    async def catch_up(self, *, strict: bool = False) -> None:
        """Apply the kept changes that the engine does not know.

        Args:
            strict: Refuse a change that does not fit; else it is logged and left out, so that
                another server's mistake holds up no change that does fit.

        Raises:
            RecGenError: One does not fit the catalog or the model, or cannot be made here yet, as
                where the text of a new item cannot be encoded; the next call tries again.
            EngineDownError: The engine is started again.
            StoreError: They cannot be read.
        """
        changes, number = await self._store.changes(self._number)
        if changes:
            await (self._apply if strict else self._apply_what_fits)(changes)
        self._number = number
        self._metrics.version.set(number)
        self._metrics.store_up.set(1)

    async def _apply_what_fits(self, changes: Sequence[Change]) -> None:
        """Apply changes, and after a misfit each half by itself."""
        try:
            await self._apply(changes)
        except _MISFITS as error:
            if half := len(changes) // 2:
                await self._apply_what_fits(changes[:half])
                await self._apply_what_fits(changes[half:])
                return
            told = {"item": changes[0].item, "error": str(error)}
            logger.error("a change of another server does not fit", extra={"fields": told})

    async def _change(self, changes: Sequence[Change]) -> int:
        kept = 0

        async def keep() -> None:
            nonlocal kept
            kept = await self._store.change_catalog(changes)

        if not self._engine.up:
            raise EngineDownError
        async with self._changing:
            await self.catch_up()
            version = await self._apply(changes, keep)
            if kept == self._number + len(changes):  # else others changed it in between
                self._number = kept
                self._metrics.version.set(kept)
            return version

    async def _apply(self, changes: Sequence[Change], keep: Commit | None = None) -> int:
        """Apply changes in one step; the last of an item counts."""
        last = {change.item: change.row for change in changes}
        known = self.catalog.positions
        put = {item: row for item, row in last.items() if row is not None}
        remove = [item for item, row in last.items() if row is None and item in known]

        async def commit() -> None:
            if keep is not None:
                await keep()
            for item in put:  # before an answer can hold it
                self._removed.pop(item, None)

        version = await self._engine.update(
            [Item(item, row["title"], row["fields"]) for item, row in put.items()],
            remove,
            {item: row["codes"] for item, row in put.items() if row["codes"] is not None},
            commit,
        )
        for item in remove:
            self._removed.setdefault(item, version)
        return version

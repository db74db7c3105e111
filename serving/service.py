"""The parts of one running server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from rec_gen.catalog import Catalog
from rec_gen.masking import Masker
from rec_gen.shared_items import Sharing
from serving.batching import Batcher
from serving.config import ServeConfig
from serving.drift import PopularityDrift
from serving.engine import Engine
from serving.engines import start_engine
from serving.errors import ApiError
from serving.keys import KeyFile
from serving.live_catalog import LiveCatalog
from serving.metrics import Metrics
from serving.store import Store, open_store


@dataclass
class Service:
    """What the routes work with.

    Attributes:
        config: What the server was told.
        engine: What runs the model.
        batcher: Gathers requests for it.
        catalog: The items as they change.
        store: Keeps histories and changes.
        metrics: Counts.
        drift: Watches how popular recommended items are.
        keys: The API keys; None where none are asked for.
        masker: Takes personal data out of what users say; None where nobody asked for it.
        sharing: Knows what several catalogs have in common.
        draining: The server is about to end.
        counted: What `/metrics` tells; the metrics of this server, unless it is one of several.
    """

    config: ServeConfig
    engine: Engine
    batcher: Batcher
    catalog: LiveCatalog
    store: Store
    metrics: Metrics
    drift: PopularityDrift
    keys: KeyFile | None
    masker: Masker | None = field(default=None)
    sharing: Sharing = field(default_factory=Sharing)
    draining: bool = field(default=False)
    counted: Callable[[], Awaitable[CollectorRegistry]] | None = None

    def further(self, domain: str | None, field: str = "domain") -> str | None:
        """A further catalog by the name that a request gave it; None is the first.

        Args:
            domain: The name; None is the first, too.
            field: The field that named it.

        Raises:
            ApiError: There is no such domain.
        """
        known = tuple(self.engine.domains)
        if domain is not None and domain not in known:
            message = f"domain '{domain}': the model knows {', '.join(known)}; name one of these"
            raise ApiError(422, message, "unknown_domain", field)
        return None if domain == known[0] else domain

    def first_only(self, domain: str | None, what: str) -> None:
        """Refuse the name of a further catalog where only the first one can be meant.

        Raises:
            ApiError: It is a further one, or there is no such domain.
        """
        if self.further(domain) is not None:
            message = f"{what}: leave out 'domain', or name the first catalog"
            raise ApiError(400, message, "unsupported", "domain")

    def catalog_of(self, domain: str | None) -> Catalog:
        """The items of a catalog as they are now; None is the first."""
        return self.engine.catalog if domain is None else self.engine.domains[domain].catalog

    def kept_as(self, domain: str | None) -> tuple[str, ...]:
        """The names by which the store knows a catalog, that of new events first.

        The first catalog of several is named, too, so that a bundle of one of the others does not
        take its events for its own. A single catalog has no name there, whatever it is called.

        Args:
            domain: The catalog; None is the first.
        """
        if domain is not None:
            return (domain,)
        known = tuple(self.engine.domains)
        return ("",) if len(known) == 1 else (known[0], "")


@asynccontextmanager
async def open_service(
    config: ServeConfig, start: Callable[[ServeConfig], Awaitable[Engine]] = start_engine
) -> AsyncIterator[Service]:
    """Open the store, start the engine, bring the catalog up to date and gather requests.

    Args:
        config: What the server was told.
        start: Starts the engine, which is closed with the rest.

    Raises:
        ConfigError: The file of API keys or the model of names cannot be read.
        MissingPackageError: What masks personal data is not installed.
        StoreError: The store cannot be opened.
        RecGenError: A kept change of the catalog does not fit the bundle.
    """
    async with AsyncExitStack() as stack:
        keys = None if config.keys is None else KeyFile(config.keys)
        masker = None if config.mask is None else await asyncio.to_thread(Masker, config.mask)
        store = await open_store(config.store)
        stack.push_async_callback(store.close)
        engine = await start(config)
        stack.push_async_callback(engine.close)
        metrics = Metrics()
        metrics.engine_up.set_function(lambda: engine.up)
        catalog = LiveCatalog(engine, store, metrics)
        await catalog.catch_up(strict=True)
        batcher = Batcher(engine, config.batching, metrics)
        stack.push_async_callback(batcher.close)
        follower = asyncio.create_task(catalog.follow())
        stack.push_async_callback(_end, follower)
        drift = PopularityDrift(metrics.popularity)
        yield Service(config, engine, batcher, catalog, store, metrics, drift, keys, masker)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

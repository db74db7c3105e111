"""The parts of one running server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from serving.batching import Batcher
from serving.config import ServeConfig
from serving.drift import PopularityDrift
from serving.engine import Engine
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
    draining: bool = field(default=False)
    counted: Callable[[], Awaitable[CollectorRegistry]] | None = None


@asynccontextmanager
async def open_service(config: ServeConfig, engine: Engine) -> AsyncIterator[Service]:
    """Open the store, bring the catalog up to date and start to gather requests.

    The engine is closed with it.

    Raises:
        ConfigError: The file of API keys cannot be read.
        StoreError: The store cannot be opened.
        RecGenError: A kept change of the catalog does not fit the bundle.
    """
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.close)
        keys = None if config.keys is None else KeyFile(config.keys)
        store = await open_store(config.store)
        stack.push_async_callback(store.close)
        metrics = Metrics()
        metrics.engine_up.set_function(lambda: engine.up)
        catalog = LiveCatalog(engine, store, metrics)
        await catalog.catch_up()
        batcher = Batcher(engine, config.batching, metrics)
        stack.push_async_callback(batcher.close)
        follower = asyncio.create_task(catalog.follow())
        stack.push_async_callback(_end, follower)
        drift = PopularityDrift(metrics.popularity)
        yield Service(config, engine, batcher, catalog, store, metrics, drift, keys)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog
from rec_gen.config import parse_config
from rec_gen.mixed import recommenders_of
from rec_gen.testing import random_bundle
from serving.app import create_app
from serving.config import ServeConfig
from serving.engine import RecommenderEngine
from serving.service import Service, open_service
from tests.serving.server import Server, served
from tests.toy import EVERY_TASK, rated, toy_dataset, toy_recipe
from training.sft import train


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that knows the next item only and spells by title; every item has a brand."""
    recipe = toy_recipe(spelling={"scheme": "title"}, prompt={"max_tokens": 600})
    return train(recipe, rated(toy_dataset()), tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def tasks_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that has learnt every task, search among them."""
    recipe = toy_recipe(tasks=EVERY_TASK, prompt={"max_tokens": 600})
    return train(recipe, rated(toy_dataset()), tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def replying_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with random weights that can do all that there is a tool for."""
    catalog = rated(toy_dataset()).catalog
    minutes = pl.Series("minutes", [90 + 5 * place for place in range(len(catalog))])
    longer = Catalog(catalog.frame.with_columns(minutes))
    tasks = ("search", "explanation", "reply")
    folder = tmp_path_factory.mktemp("run") / "bundle"
    random_bundle(longer, "title", tasks=tasks).save(folder)
    return folder


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server without keys."""
    store = tmp_path_factory.mktemp("store") / "store.db"
    with served(bundle, "--store", f"sqlite:///{store}") as running:
        yield running


@asynccontextmanager
async def in_process(
    bundle: Path, store: Path | str, **settings: Any
) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    """The application without a socket, for what needs many requests."""
    url = f"sqlite:///{store}" if isinstance(store, Path) else store
    table = {"bundle": bundle, "store": url, **settings}
    config = parse_config(ServeConfig, table)

    async def start(_: ServeConfig) -> RecommenderEngine:
        loaded = await asyncio.to_thread(Bundle.load, bundle)
        recommenders = recommenders_of(loaded)
        return RecommenderEngine(recommenders.pop(loaded.manifest.dataset), recommenders)

    async with open_service(config, start) as service:
        transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield service, client


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"

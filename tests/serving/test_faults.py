"""What is told when parts fail, and that nothing acknowledged is lost."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from rec_gen.catalog import Item
from rec_gen.errors import MissingPackageError, RecGenError
from rec_gen.recommender import Recommender
from serving.engine import RecommenderEngine
from serving.errors import EngineDownError
from serving.keys import create_key
from serving.live_catalog import LiveCatalog
from serving.metrics import Metrics
from serving.store import Change, open_store
from tests.serving.conftest import in_process
from tests.serving.server import served
from tests.serving.stores import redis

pytestmark = pytest.mark.anyio
ASK = "/v1/recommendations"


async def ids(client: httpx.AsyncClient, **body: Any) -> set[str]:
    answer = await client.post(ASK, json={"k": 99, **body})
    return {item["id"] for item in answer.raise_for_status().json()["items"]}


def assert_unavailable(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def store_is(up: int, client: httpx.AsyncClient) -> None:
    """Wait until the server has noticed whether its store can be read."""
    async with asyncio.timeout(30):
        while f"recgen_store_up {up}.0" not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.05)


async def test_without_its_database_a_server_refuses_what_it_cannot_keep(
    bundle: Path, tmp_path: Path
) -> None:
    event = {"user": "u", "item": "i1"}
    new = {"items": [{"id": "n", "title": "New"}, {"id": "i2", "title": "Renamed"}]}
    with redis(tmp_path) as (url, process):
        async with in_process(bundle, url) as (service, client):
            (await client.post("/v1/events", json=event)).raise_for_status()
            (await client.delete("/v1/items/i3")).raise_for_status()
            process.kill()
            process.wait(30)
            assert_unavailable(await client.post("/v1/events", json={**event, "item": "i4"}))
            assert_unavailable(await client.post(ASK, json={"user": "u"}))
            assert_unavailable(await client.get("/v1/users/u/history"))
            assert_unavailable(await client.put("/v1/items", json=new))
            assert_unavailable(await client.delete("/v1/items/i5"))
            assert_unavailable(await client.get("/readyz"))
            assert (await client.get("/healthz")).status_code == 200
            await store_is(0, client)
            kept = {f"i{item}" for item in range(12)} - {"i3"}
            assert await ids(client, history=[]) == kept
            port = int(url.split(":")[2].split("/")[0])
            with redis(tmp_path, port=port):
                assert (await client.get("/readyz")).status_code == 200
                await store_is(1, client)
                assert await ids(client, user="u") == kept - {"i1"}
                (await client.put("/v1/items", json=new)).raise_for_status()
                assert await ids(client, history=[]) == kept | {"n"}
                assert service.catalog.catalog.titles[2] == "Renamed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        ({"store.db": "no database"}, 1, "store.db: cannot be used: file is not a database"),
        ({"keys.json": "{"}, 2, "keys.json: 'top level': Invalid JSON"),
    ],
)
def test_a_server_that_cannot_start_says_why_in_one_line(
    bundle: Path, tmp_path: Path, spoil: dict[str, str], code: int, message: str
) -> None:
    create_key(tmp_path / "keys.json", "shop", ["recommend"])
    for name, text in spoil.items():
        (tmp_path / name).write_text(text * 200)
    options = ["--store", f"sqlite:///{tmp_path}/store.db", "--keys", tmp_path / "keys.json"]
    with pytest.raises(AssertionError) as caught, served(bundle, *options):
        pass
    (line,) = [one for one in str(caught.value).splitlines() if one.startswith("recgen: ")]
    assert message in line
    assert f"exit code {code}" in str(caught.value)


class Broken:
    """A store that takes no change."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def change_catalog(self, changes: Any) -> int:
        raise RecGenError("full")


async def test_a_change_that_cannot_be_kept_changes_nothing(bundle: Path, tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/store.db")
    engine = RecommenderEngine(Recommender.load(bundle))
    good = LiveCatalog(engine, store, Metrics())
    await good.put([Item("n", "Known and gone", {})], {})
    await good.remove("n")
    catalog = LiveCatalog(engine, Broken(store), Metrics())
    await catalog.catch_up()
    titles, version = catalog.catalog.titles, engine.version
    with pytest.raises(RecGenError, match="full"):
        await catalog.put([Item(item, f"Other {item}", {}) for item in ("n", "m", "i1")], {})
    with pytest.raises(RecGenError, match="full"):
        await catalog.remove("i2")
    offered = {item for item in catalog.catalog.ids if catalog.offers(item)}
    assert offered == {f"i{item}" for item in range(12)}
    assert (catalog.catalog.titles, engine.version) == (titles, version)
    (answer,) = engine._recommender.recommend([[]], k=99)
    assert {found.item.id for found in answer} == offered
    assert catalog.invalid([found.item for found in answer], answer.version) == 0
    await store.close()
    await engine.close()


async def test_servers_with_one_store_follow_each_other(bundle: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    async with in_process(bundle, store) as (_, one), in_process(bundle, store) as (_, two):
        put = {"items": [{"id": "n", "title": "New"}]}
        (await one.put("/v1/items", json=put)).raise_for_status()
        (await one.delete("/v1/items/i1")).raise_for_status()
        expected = {f"i{item}" for item in range(12) if item != 1} | {"n"}
        assert await ids(one, history=[]) == expected
        async with asyncio.timeout(30):
            while await ids(two, history=[]) != expected:
                await asyncio.sleep(0.05)
        assert (await two.delete("/v1/items/n")).status_code == 200
        (await one.post("/v1/events", json={"user": "u", "item": "i2"})).raise_for_status()
        assert "i2" not in await ids(two, user="u")


async def test_a_kept_change_that_does_not_fit_stops_the_start(
    tasks_bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "store.db"
    store = await open_store(f"sqlite:///{path}")
    await store.change_catalog([Change("n", {"title": "New", "fields": {}, "codes": None})])
    await store.close()
    with pytest.raises(RecGenError, match="item 'n' is new, and this model knows each item by"):
        async with in_process(tasks_bundle, path):
            pass


async def test_a_change_of_another_server_that_does_not_fit_holds_up_no_other(
    tasks_bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "store.db"
    async with in_process(tasks_bundle, path) as (service, client):
        store = await open_store(f"sqlite:///{path}")
        new = Change("n", {"title": "New", "fields": {}, "codes": None})
        await store.change_catalog([new, Change("i1", None)])
        await store.close()
        async with asyncio.timeout(30):
            while service.catalog.offers("i1"):
                await asyncio.sleep(0.05)
        assert (await client.delete("/v1/items/i2")).status_code == 200
        assert "n" not in service.catalog.catalog.positions
        assert not {"i1", "i2", "n"} & await ids(client, history=[])


async def test_a_change_that_cannot_be_made_yet_is_made_later(bundle: Path, tmp_path: Path) -> None:
    """As where the text of a new item cannot be encoded for a while."""
    async with in_process(bundle, tmp_path / "store.db") as (service, client):
        engine: Any = service.engine
        update, tries = engine.update, []

        async def lacking(*args: Any) -> int:
            tries.append(args)
            raise MissingPackageError("sentence-transformers", "train")

        engine.update = lacking
        await service.store.change_catalog(
            [Change("n", {"title": "N", "fields": {}, "codes": None})]
        )
        async with asyncio.timeout(30):
            while len(tries) < 2:
                await asyncio.sleep(0.05)
            engine.update = update
            while "n" not in await ids(client, history=[]):
                await asyncio.sleep(0.05)


class Dying(RecommenderEngine):
    """An engine that ends as soon as a change is kept."""

    async def update(self, put: Any, remove: Any, codes: Any, commit: Any = None) -> int:
        if commit is not None and not put:
            await commit()
            raise EngineDownError
        return await super().update(put, remove, codes, commit)


async def test_a_removal_that_was_kept_while_the_engine_died_is_made_later(
    bundle: Path, tmp_path: Path
) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/store.db")
    engine = Dying(Recommender.load(bundle))
    catalog = LiveCatalog(engine, store, Metrics())
    with pytest.raises(EngineDownError):
        await catalog.remove("i1")
    engine.update = super(Dying, engine).update  # type: ignore[method-assign]
    await catalog.catch_up()
    assert not catalog.offers("i1")
    await store.close()
    await engine.close()


async def test_an_answer_outside_the_catalog_is_counted_and_not_given(
    bundle: Path, tmp_path: Path
) -> None:
    async with in_process(bundle, tmp_path / "store.db") as (service, client):
        service.catalog._removed["i5"] = 0  # as if the engine had not followed a removal
        answer = await client.post(ASK, json={"history": [], "k": 99})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "invalid_item")
        value = service.metrics.registry.get_sample_value("recgen_invalid_items_total")
        assert value == 1

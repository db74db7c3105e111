"""An engine that is killed: nothing wrong is answered, nothing kept is lost, and it comes back."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from rec_gen.catalog import Item
from rec_gen.config import parse_config
from serving.app import create_app
from serving.config import ServeConfig
from serving.engines import start_engine
from serving.errors import EngineDownError
from serving.queries import Query
from serving.restarting import RestartingEngine
from serving.service import Service, open_service
from tests.serving.server import ROOT, engine_of, served, until
from tests.serving.test_load import load, recommended

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ASK = "/v1/recommendations"
ALL = {f"i{item}" for item in range(12)}


@asynccontextmanager
async def running(bundle: Path, store: Path) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    table = {"bundle": bundle, "store": f"sqlite:///{store}"}
    config = parse_config(ServeConfig, table)
    async with open_service(config) as service:
        transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield service, client


def process(engine: Any) -> psutil.Process:
    """The process that runs the model."""
    return psutil.Process(engine._engine._process._process.pid)


async def soon(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not happened():
            await asyncio.sleep(0.001)


async def listed(client: httpx.AsyncClient) -> dict[str, float]:
    answer = await client.post(ASK, json={"history": ["i1"], "k": 99})
    return {item["id"]: item["score"] for item in answer.raise_for_status().json()["items"]}


async def test_it_knows_what_the_catalog_has_become(bundle: Path, tmp_path: Path) -> None:
    async with running(bundle, tmp_path / "store.db") as (service, client):
        items = [{"id": "n", "title": "New"}, {"id": "m", "title": "Gone"}]
        (await client.put("/v1/items", json={"items": items})).raise_for_status()
        renamed = {"items": [{"id": "i4", "title": "Renamed"}]}
        (await client.put("/v1/items", json=renamed)).raise_for_status()
        for item in ("m", "i3", "i5"):
            (await client.delete(f"/v1/items/{item}")).raise_for_status()
        again = {"items": [{"id": "i5", "title": "Film 5 back"}]}
        (await client.put("/v1/items", json=again)).raise_for_status()
        before, version = await listed(client), service.engine.version
        assert set(before) == (ALL | {"n"}) - {"i1", "i3"}

        process(service.engine).kill()
        await soon(lambda: not service.engine.up)
        for answer in (
            await client.post(ASK, json={"history": []}),
            await client.put("/v1/items", json={"items": [{"id": "o", "title": "Other"}]}),
            await client.delete("/v1/items/i6"),
            await client.get("/readyz"),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_down")
            assert int(answer.headers["retry-after"]) >= 1
        assert (await client.get("/healthz")).status_code == 200
        assert "recgen_engine_up 0.0" in (await client.get("/metrics")).text
        event = {"user": "u", "item": "i2"}
        assert (await client.post("/v1/events", json=event)).json() == {"kept": True}

        await soon(lambda: service.engine.up)
        assert await listed(client) == pytest.approx(before)
        assert service.engine.version > version
        answer = await client.post(ASK, json={"user": "u", "k": 99})
        assert recommended(answer) == (ALL | {"n"}) - {"i2", "i3"}
        assert (await client.get("/readyz")).status_code == 200
        assert "recgen_engine_up 1.0" in (await client.get("/metrics")).text
        (await client.delete("/v1/items/n")).raise_for_status()
        assert "n" not in await listed(client)


async def started(bundle: Path) -> RestartingEngine:
    return await start_engine(parse_config(ServeConfig, {"bundle": bundle}))


async def test_a_change_that_is_kept_is_made_though_the_engine_is_killed(bundle: Path) -> None:
    engine = await started(bundle)

    async def keep() -> None:
        process(engine).kill()

    async def fail() -> None:
        process(engine).kill()
        raise ValueError("not kept")

    assert await engine.update([Item("n", "New", {})], ["i2"], {}, keep) == 1
    (answer,) = await engine.answer([Query(())])
    assert not isinstance(answer, Exception)
    assert {found.item.id for found in answer} <= (ALL | {"n"}) - {"i2"}
    assert answer.version == engine.version
    with pytest.raises(ValueError, match="not kept"):
        await engine.update([Item("o", "Other", {})], [], {}, fail)
    await soon(lambda: not engine.up)
    await soon(lambda: engine.up)
    assert "o" not in engine.catalog.positions
    assert "n" in engine.catalog.positions
    await engine.close()


async def test_another_bundle_in_its_place_is_not_served(
    bundle: Path, tasks_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "bundle"
    path.symlink_to(bundle)
    engine = await started(path)
    path.unlink()
    path.symlink_to(tasks_bundle)
    process(engine).kill()
    await soon(lambda: not engine.up)
    await soon(lambda: "the engine does not start" in caplog.text)
    with pytest.raises(EngineDownError):
        await engine.answer([Query(())])
    (reason,) = {
        record.fields["reason"]  # type: ignore[attr-defined]
        for record in caplog.records
        if record.msg == "the engine does not start"
    }
    assert reason == f"{path}: was replaced: start the server again to serve it"
    path.unlink()
    path.symlink_to(bundle)
    await soon(lambda: engine.up)
    (answer,) = await engine.answer([Query(())])
    assert not isinstance(answer, Exception)
    assert len(answer) == 10
    await engine.close()


def test_clients_see_right_answers_or_that_it_is_down(bundle: Path, tmp_path: Path) -> None:
    with served(bundle, "--store", f"sqlite:///{tmp_path}/store.db") as server:
        main = psutil.Process(server.process.pid)
        with load(server, 4) as answers:
            until(lambda: len(answers) > 20)
            engine_of(server).kill()
            until(lambda: any(getattr(one, "status_code", 0) == 503 for one in answers))
            killed = len(answers)
            until(lambda: any(getattr(one, "status_code", 0) == 200 for one in answers[killed:]))
        assert server.stop() == 0
        assert not main.is_running()
    statuses = [getattr(answer, "status_code", answer) for answer in answers]
    assert set(statuses) == {200, 503}
    right = {
        json.dumps([answer.json()["items"], answer.request.content.decode()])
        for answer in answers
        if isinstance(answer, httpx.Response) and answer.status_code == 200
    }
    assert len({json.loads(one)[1] for one in right}) == 4
    assert len({json.dumps([x["id"] for x in json.loads(one)[0]]) for one in right}) <= 4


async def test_an_engine_that_hangs_is_replaced(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.worker_process.PATIENCE_SECONDS", 1.0)
    engine = await started(bundle)
    first, hanging = engine._engine, process(engine)
    hanging.suspend()
    with pytest.raises(EngineDownError):
        await engine.answer([Query(())])
    await soon(lambda: engine._engine is not first)
    assert not hanging.is_running()
    monkeypatch.setattr("serving.worker_process.PATIENCE_SECONDS", 60.0)
    (answer,) = await engine.answer([Query(())])
    assert not isinstance(answer, Exception)
    second, hanging = engine._engine, process(engine)
    monkeypatch.setattr("serving.worker_process.PATIENCE_SECONDS", 1.0)
    hanging.suspend()
    with pytest.raises(EngineDownError):  # though it takes nothing, not even the question
        await engine.answer([Query(("i1",) * 200_000)])
    await soon(lambda: engine._engine is not second)
    monkeypatch.setattr("serving.worker_process.PATIENCE_SECONDS", 60.0)
    process(engine).suspend()
    monkeypatch.setattr("serving.worker_process.CLOSE_SECONDS", 0.5)
    await engine.close()


def test_the_engine_ends_with_a_server_that_is_killed(bundle: Path, tmp_path: Path) -> None:
    with served(bundle, "--store", f"sqlite:///{tmp_path}/store.db") as server:
        engine = engine_of(server)
        server.process.kill()
        server.process.wait(60)
        until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)


def test_a_process_that_is_killed_while_it_loads_is_one_line(bundle: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    command = [sys.executable, "-m", "rec_gen", "serve", str(bundle)]
    command += ["--port", "0", "--store", store]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as server:
        parent = psutil.Process(server.pid)
        until(lambda: any("spawn_main" in " ".join(one.cmdline()) for one in parent.children()))
        for child in parent.children():
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
        _, told = server.communicate(timeout=120)
    assert server.returncode == 1
    (line,) = [one for one in told.splitlines() if one.startswith("recgen: ")]
    assert "the process of the model ended while it loaded: is there enough memory?" in line
    assert "Traceback" not in told

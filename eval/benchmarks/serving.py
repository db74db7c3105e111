"""A server under load: `python -m eval.benchmarks.serving --json FILE`.

A server in a process of its own answers over the loopback: one client beside the bare search of the
same model, many clients, many more than it has room for, and what is changed meanwhile.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import httpx
import numpy as np
import polars as pl
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from rec_gen.catalog import Catalog
from rec_gen.files import write_text
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from rec_gen.versions import machine

ITEMS, HISTORY, CHANGES = 1000, 5, 20
ASK = "/v1/recommendations"


@contextmanager
def served(bundle: Path, folder: Path, *options: str) -> Iterator[str]:
    """The address of a server in a process of its own."""
    command = [sys.executable, "-m", "rec_gen", "serve", str(bundle), "--port", "0", *options]
    command += ["--store", f"sqlite:///{folder}/store.db", "--set", "limits.rate=1000000/second"]
    log = folder / "log.txt"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stderr=file)
    try:
        while '"listening"' not in (text := log.read_text(encoding="utf-8")):
            if process.poll() is not None:
                raise click.ClickException(text)
            time.sleep(0.05)
        line = next(line for line in text.splitlines() if '"listening"' in line)
        yield json.loads(line)["url"]
    finally:
        process.terminate()
        process.wait()


class Clients:
    """Clients that ask one request after the other, and how long each took.

    Attributes:
        ms: Milliseconds of the requests that were answered.
        refused: Requests that were told to come again.
        errors: All others.
    """

    def __init__(self, client: httpx.AsyncClient, items: list[str]) -> None:
        self._client, self._items = client, items
        self.ms: list[float] = []
        self.refused = self.errors = 0

    @asynccontextmanager
    async def asking(self, count: int) -> AsyncIterator[None]:
        """Ask while the block runs."""
        tasks = [asyncio.create_task(self._ask(seed)) for seed in range(count)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def percentile(self, percent: float) -> float:
        """Milliseconds."""
        return float(np.percentile(self.ms, percent))

    async def _ask(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        while True:
            history = rng.choice(self._items, size=HISTORY).tolist()
            start = time.perf_counter()
            answer = await self._client.post(ASK, json={"history": history})
            if answer.status_code == 200:
                self.ms.append(1e3 * (time.perf_counter() - start))
            elif answer.status_code == 429:
                self.refused += 1
                await asyncio.sleep(0.1)
            else:
                self.errors += 1


async def alone_figures(url: str, bundle: Path, items: list[str]) -> dict[str, float]:
    """One client over HTTP and the bare search in turn, medians."""
    recommender = Recommender.load(bundle)
    rng = np.random.default_rng(0)
    bare, whole = [], []
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        for _ in range(100):
            history = rng.choice(items, size=HISTORY).tolist()
            start = time.perf_counter()
            recommender.recommend([history])
            middle = time.perf_counter()
            (await client.post(ASK, json={"history": history})).raise_for_status()
            bare.append(1e3 * (middle - start))
            whole.append(1e3 * (time.perf_counter() - middle))
    extra = np.median(whole) - np.median(bare)
    return {"bare_ms": float(np.median(bare)), "http_ms": float(np.median(whole)),
            "overhead_ms": float(extra)}  # fmt: skip


async def load_figures(url: str, items: list[str], count: int, seconds: float) -> dict[str, float]:
    """Many clients, and events and items that must be seen meanwhile."""
    limits = httpx.Limits(max_connections=count)
    async with (
        httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as crowd,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        clients = Clients(crowd, items)
        async with clients.asking(count):
            start = time.perf_counter()
            await asyncio.sleep(seconds)
            rate = len(clients.ms) / (time.perf_counter() - start)
            seen = [await _event(client, n) for n in range(CHANGES)]
            changed = [await _item(client, n) for n in range(CHANGES)]
        counted = (await client.get("/metrics")).text
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(counted)
        for sample in family.samples
    }
    return {
        "errors": clients.errors,
        "refused": clients.refused,
        "requests_per_second": rate,
        "p50_ms": clients.percentile(50),
        "p95_ms": clients.percentile(95),
        "p99_ms": clients.percentile(99),
        "event_visible_ms": max(seen),
        "item_visible_ms": max(changed),
        "invalid_items": samples["recgen_invalid_items_total"],
    }


async def overload_figures(
    url: str, items: list[str], room: int, seconds: float
) -> dict[str, float]:
    """Ten times as many clients as there is room for, after as many as there is."""
    p99, refused = [], 0
    for count in (room, 10 * room):
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
            clients = Clients(client, items)
            async with clients.asking(count):
                await asyncio.sleep(seconds)
            p99.append(clients.percentile(99))
            refused = clients.refused
    return {"overload_p99_ratio": p99[1] / p99[0], "overload_refused": refused}


async def _event(client: httpx.AsyncClient, number: int) -> float:
    """Milliseconds until an event is acknowledged; whether the next answer knows it is checked."""
    event = {"user": f"u{number}", "item": "i1"}
    start = time.perf_counter()
    (await client.post("/v1/events", json=event)).raise_for_status()
    took = 1e3 * (time.perf_counter() - start)
    body = {"user": f"u{number}", "allow": ["i1", "i2"]}
    answer = (await client.post(ASK, json=body)).raise_for_status().json()
    return took if _ids(answer) == ["i2"] else float("inf")


async def _item(client: httpx.AsyncClient, number: int) -> float:
    """Milliseconds until a new item is acknowledged; that it is recommended is checked."""
    item = {"id": f"n{number}", "title": f"New film {number}"}
    start = time.perf_counter()
    (await client.put("/v1/items", json={"items": [item]})).raise_for_status()
    took = 1e3 * (time.perf_counter() - start)
    body = {"history": [], "allow": [item["id"]]}
    answer = (await client.post(ASK, json=body)).raise_for_status().json()
    return took if _ids(answer) == [item["id"]] else float("inf")


def _ids(answer: dict[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--clients", default=64, show_default=True)
@click.option("--seconds", default=600.0, show_default=True)
def main(json_path: Path | None, clients: int, seconds: float) -> None:
    """Measure a server with a random model."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    items = [f"i{n}" for n in range(ITEMS)]
    titles = [f"Film {n} of a long row" for n in range(ITEMS)]
    with TemporaryDirectory() as name:
        folder = Path(name)
        bundle = folder / "bundle"
        random_bundle(Catalog(pl.DataFrame({"item": items, "title": titles})), "title").save(bundle)
        with served(bundle, folder) as url:
            figures = asyncio.run(alone_figures(url, bundle, items))
            figures |= asyncio.run(load_figures(url, items, clients, seconds))
        room = ["--set", "batching.max_batch=4", "--set", "batching.queue=4"]
        with served(bundle, folder, *room) as url:
            figures |= asyncio.run(overload_figures(url, items, 8, min(seconds, 20)))
    figures = {name: round(value, 2) for name, value in figures.items()}
    Console().print_json(json.dumps(figures))
    if json_path:
        report = {"figures": figures, "clients": clients, "seconds": seconds} | machine()
        write_text(json_path, json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()

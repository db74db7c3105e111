"""A server under load: `python -m eval.benchmarks.serving --json FILE`.

A server in a process of its own answers over the loopback: one client beside the bare search of the
same model; many clients for a long time, while events and items are changed; many more requests
than it can answer (`serving_overload`); and what it takes until it answers again after it, its
engine or its database was killed (`serving_faults`). Load comes from processes of its own, on the
same cores. What could not be measured is null, with the reason beside the figures.
"""

import json
import math
import os
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import httpx
import numpy as np
import torch
from rich.console import Console

from eval.benchmarks.serving_client import ASK
from eval.benchmarks.serving_disk import syncing
from eval.benchmarks.serving_faults import fault_figures
from eval.benchmarks.serving_load import HISTORY
from eval.benchmarks.serving_overload import BUDGET, SETTINGS, overload_figures
from eval.benchmarks.serving_plan import Plan, ended, loading
from eval.benchmarks.serving_probe import probed, probing
from eval.benchmarks.serving_race import race_figure
from eval.benchmarks.serving_server import Server, Usage, random_titles, served
from rec_gen.cli.common import Command
from rec_gen.files import write_text
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from rec_gen.versions import machine

PARTS, ALONE = ("load", "overload", "faults", "race"), 100
OVERLOAD_SECONDS, SAMPLE_SECONDS = 30.0, 5.0


def alone_figures(url: str, bundle: Path, items: list[str]) -> dict[str, float]:
    """One client over HTTP and the bare search in turn, medians."""
    recommender = Recommender.load(bundle)
    rng = np.random.default_rng(0)
    bare, whole = [], []
    with httpx.Client(base_url=url, timeout=60) as client:
        for _ in range(ALONE):
            history = rng.choice(items, size=HISTORY).tolist()
            start = time.perf_counter()
            recommender.recommend([history])
            middle = time.perf_counter()
            client.post(ASK, json={"history": history}).raise_for_status()
            bare.append(1e3 * (middle - start))
            whole.append(1e3 * (time.perf_counter() - middle))
    extra = median(whole) - median(bare)
    return {"bare_ms": median(bare), "http_ms": median(whole), "overhead_ms": extra}


def load_figures(
    server: Server, folder: Path, items: list[str], clients: int, seconds: float
) -> dict[str, float | None]:
    """Many clients for some seconds, and events and items that must be seen meanwhile.

    The disk that keeps them is timed too, since it holds up an acknowledgement that waits for it.
    """
    every = min(SAMPLE_SECONDS, seconds / 20)
    plan = Plan(server.url, items, clients)
    with (
        loading(plan) as crowd,
        probing(server.url, items) as prober,
        Usage(server, every) as usage,
        syncing(folder) as syncs,
    ):
        time.sleep(seconds)
        probes = probed(prober)  # under load to its end
        load = ended(crowd)
    items_ms = [*probes.added_ms, *probes.removed_ms]
    return {
        "errors": load.errors(429) + probes.errors,
        "refused": load.statuses.get(429, 0),
        "invalid_items": load.wrong_items(probes.lives),
        "requests_per_second": load.rate,
        **dict(zip(("p50_ms", "p95_ms", "p99_ms"), load.ms, strict=True)),
        "changes": len(probes.event_ms) + len(items_ms),
        "changes_seen_late": probes.late,
        "event_visible_median_ms": median(probes.event_ms or [math.nan]),
        "event_visible_p99_ms": float(np.percentile(probes.event_ms or [math.nan], 99)),
        "event_visible_ms": max(probes.event_ms, default=None),
        "item_visible_median_ms": median(items_ms or [math.nan]),
        "item_visible_ms": max(items_ms, default=None),
        "disk_sync_median_ms": median(syncs or [math.nan]),
        "disk_sync_ms": max(syncs, default=None),
        **usage.figures(),
        "client_cores": load.cores,
    }


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--clients", default=64, show_default=True)
@click.option("--seconds", default=600.0, show_default=True)
@click.option(
    "--bundle",
    "trained",
    type=click.Path(path_type=Path),
    help="A whole float32 model that spells titles, for the race; default: a random one.",
)
@click.option(
    "--only",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Measure this alone; what the file says of the other parts stays.",
)
def main(
    json_path: Path | None,
    clients: int,
    seconds: float,
    trained: Path | None,
    parts: tuple[str, ...],
) -> None:
    """Measure a server with a random model."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the server
    torch.set_num_threads(1)
    measured = parts or PARTS
    catalog = random_titles()
    items = list(catalog.ids)
    with TemporaryDirectory() as name:
        folder = Path(name)
        bundle = folder / "bundle"
        random_bundle(catalog, "title").save(bundle)
        figures: dict[str, float | None] = {}
        reasons: dict[str, str] = {}
        if "load" in measured:
            with served(bundle, folder) as server:
                figures |= alone_figures(server.url, bundle, items)
                figures |= load_figures(server, folder, items, clients, seconds)
        if "overload" in measured:
            figures |= overload_figures(bundle, folder, items, min(seconds, OVERLOAD_SECONDS))
        if "faults" in measured:
            found, missing = fault_figures(bundle, folder, items)
            figures, reasons = figures | found, reasons | missing
        if "race" in measured:
            rate, reason = race_figure(trained, catalog, folder)
            figures["vllm_over_beam_search_rps"] = rate
            reasons |= {"vllm_over_beam_search_rps": reason} if reason else {}
    figures = {name: _rounded(value) for name, value in figures.items()}
    Console().print_json(json.dumps({"figures": figures, "reasons": reasons}))
    if json_path:
        report = {
            "figures": figures,
            "reasons": reasons,
            "clients": clients,
            "seconds": seconds,
            "overload_settings": SETTINGS,
            "budget_settings": BUDGET,
        }
        if parts and json_path.exists():  # the other parts stay as they were measured
            before = json.loads(json_path.read_text(encoding="utf-8"))
            report["figures"] = before["figures"] | figures
            report["reasons"] = before["reasons"] | reasons
        write_text(json_path, json.dumps(report | machine(), indent=2) + "\n")


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 3)


if __name__ == "__main__":
    main()

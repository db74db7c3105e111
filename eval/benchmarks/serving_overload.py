"""Overload: ten times as many requests as a server can answer.

*Capacity* is what `CLIENTS` clients in a closed loop have answered with 200 a second. *Unloaded* is
an open loop at half of it, *overload* an open loop at ten times of it, both with random arrivals.
Latencies are those of answers with 200, as the client sees them, from the time at which a request
was due. `overload_p99_ratio` is the 99th percentile under overload over that of the unloaded
server; `overload_goodput` the answers with 200 a second under overload over the capacity.
"""

from pathlib import Path

from eval.benchmarks.serving_load import Plan, load
from eval.benchmarks.serving_server import options, served

CLIENTS, CONNECTIONS, TIMES = 32, 4000, 10
SETTINGS: tuple[str, ...] = ("batching.max_batch=4", "batching.queue=4")
"""What the server is told for this beside its defaults: as little waiting as the ratio allows."""


def overload_figures(
    bundle: Path, folder: Path, items: list[str], seconds: float
) -> dict[str, float]:
    """Capacity, an unloaded server, and overload, so many seconds each."""
    with served(bundle, folder, *options(SETTINGS)) as server:
        full = load(Plan(server.url, items, CLIENTS), seconds)
        calm = load(Plan(server.url, items, CONNECTIONS, rate=full.rate / 2, seed=1), seconds)
        rate = TIMES * full.rate
        over = load(Plan(server.url, items, CONNECTIONS, rate=rate, seed=2), seconds)
    asked = sum(over.statuses.values())
    return {
        "capacity_rps": full.rate,
        "unloaded_p50_ms": calm.ms[0],
        "unloaded_p99_ms": calm.ms[2],
        "unloaded_refused": calm.statuses.get(429, 0),
        "overload_p50_ms": over.ms[0],
        "overload_p99_ms": over.ms[2],
        "overload_p99_ratio": over.ms[2] / calm.ms[2],
        "overload_goodput": over.rate / full.rate,
        "overload_asked": asked,
        "overload_refused": over.statuses.get(429, 0),
        "overload_refused_without_retry_after": over.bare_refusals,
        "overload_errors": sum(one.errors(429) for one in (full, calm, over)),
        "overload_invalid_items": sum(one.wrong_items() for one in (full, calm, over)),
        "overload_client_cores": over.cores,
    }

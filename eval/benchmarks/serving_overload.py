"""Overload: ten times as many requests as a server can answer.

*Capacity* is the most answers with 200 a second that some number of clients in a closed loop get.
*Unloaded* is an open loop at half of it, *overload* an open loop at ten times of it, both with
random arrivals. Latencies are those of answers with 200, as the client sees them, from the time at
which a request was due. `overload_p99_ratio` is the 99th percentile under overload over that of the
unloaded server; `overload_goodput` the answers with 200 a second under overload over the capacity.
"""

from pathlib import Path

from eval.benchmarks.serving_plan import Plan, load
from eval.benchmarks.serving_server import options, served

CLIENTS, CONNECTIONS, TIMES = (4, 8, 16, 32, 64), 900, 10
SETTINGS = ("batching.max_batch=4", "batching.queue=4")
"""What the server is told: on a CPU large batches win nothing, and a long queue only waits."""


def overload_figures(
    bundle: Path, folder: Path, items: list[str], seconds: float
) -> dict[str, float]:
    """An unloaded server and overload, so many seconds each, and half of them for each capacity."""
    with served(bundle, folder, *options(SETTINGS)) as server:
        url = server.url
        full = [load(Plan(url, items, clients), seconds / 2) for clients in CLIENTS]
        capacity = max(one.rate for one in full)
        calm = load(Plan(url, items, CONNECTIONS, rate=capacity / 2, seed=1), seconds)
        over = load(Plan(url, items, CONNECTIONS, rate=TIMES * capacity, seed=2), seconds)
    asked = sum(over.statuses.values())
    return {
        "capacity_rps": capacity,
        "unloaded_p50_ms": calm.ms[0],
        "unloaded_p99_ms": calm.ms[2],
        "unloaded_asked": sum(calm.statuses.values()),
        "unloaded_refused": calm.statuses.get(429, 0),
        "overload_p50_ms": over.ms[0],
        "overload_p99_ms": over.ms[2],
        "overload_p99_ratio": over.ms[2] / calm.ms[2],
        "overload_goodput": over.rate / capacity,
        "overload_asked": asked,
        "overload_refused": over.statuses.get(429, 0),
        "overload_refused_without_retry_after": over.bare_refusals,
        "overload_errors": sum(one.errors(429) for one in (*full, calm, over)),
        "overload_invalid_items": sum(one.wrong_items() for one in (*full, calm, over)),
        "overload_client_cores": over.cores,
    }

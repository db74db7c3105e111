"""Overload: ten times as many requests as a server can answer.

*Capacity* is the most answers with 200 a second that some number of clients in a closed loop get,
from the server with its defaults or from the one below. *Unloaded* is an open loop at half of it,
*overload* an open loop at ten times of it, both with random arrivals. Latencies are those of
answers with 200, as the client sees them, from the time at which a request was due.
`overload_p99_ratio` is the 99th percentile under overload over that of the unloaded server;
`overload_goodput` the answers with 200 a second under overload over the capacity. Two servers are
measured: one with small batches and a short queue, and, as `budget_…`, one with a latency budget.
"""

from pathlib import Path

from eval.benchmarks.serving_plan import Plan, load
from eval.benchmarks.serving_server import options, served

CLIENTS, CONNECTIONS, TIMES = (4, 8, 16, 32, 64), 900, 10
SETTINGS: tuple[str, ...] = ("batching.max_batch=4", "batching.queue=4")
"""Small batches and a short queue: on a CPU a request in a large batch waits for all others."""
BUDGET: tuple[str, ...] = ("batching.budget_ms=200",)


def overload_figures(
    bundle: Path, folder: Path, items: list[str], seconds: float
) -> dict[str, float]:
    """Unloaded servers and overload, so many seconds each, and half of them for each capacity."""
    capacity = 0.0
    none: tuple[str, ...] = ()
    for settings in (none, SETTINGS):
        with served(bundle, folder, *options(settings)) as server:
            full = [load(Plan(server.url, items, clients), seconds / 2) for clients in CLIENTS]
            capacity = max(capacity, *(one.rate for one in full))
    figures = {"capacity_rps": capacity}
    for name, settings in (("", SETTINGS), ("budget_", BUDGET)):
        with served(bundle, folder, *options(settings)) as server:
            found = _open_loops(server.url, items, capacity, seconds)
        figures |= {f"{name}{figure}": value for figure, value in found.items()}
    return figures


def _open_loops(url: str, items: list[str], capacity: float, seconds: float) -> dict[str, float]:
    calm = load(Plan(url, items, CONNECTIONS, rate=capacity / 2, seed=1), seconds)
    over = load(Plan(url, items, CONNECTIONS, rate=TIMES * capacity, seed=2), seconds)
    return {
        "unloaded_p50_ms": calm.ms[0],
        "unloaded_p99_ms": calm.ms[2],
        "unloaded_asked": sum(calm.statuses.values()),
        "unloaded_refused": calm.statuses.get(429, 0),
        "overload_p50_ms": over.ms[0],
        "overload_p99_ms": over.ms[2],
        "overload_p99_ratio": over.ms[2] / calm.ms[2],
        "overload_goodput": over.rate / capacity,
        "overload_asked": sum(over.statuses.values()),
        "overload_refused": over.statuses.get(429, 0),
        "overload_refused_without_retry_after": over.bare_refusals,
        "overload_errors": calm.errors(429) + over.errors(429),
        "overload_invalid_items": calm.wrong_items() + over.wrong_items(),
        "overload_client_cores": over.cores,
    }

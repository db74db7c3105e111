"""Faults under load: what is answered meanwhile, what is lost, and how long it takes.

`recovery_server_ms` is from SIGKILL of the whole server, which is started again at once, to the
first answer. `recovery_engine_ms` is from SIGKILL of the engine's process to the first answer of a
request that was sent after it. `recovery_database_ms` is from when a killed Redis listens again to
the first answer by a kept history. `recovery_sigterm_ms` is from SIGTERM to the end of the process.
`recovery_disk_ms` is from when the store's disk takes data again to the first event that is kept,
`recovery_clients_ms` from when the last of some clients has left in the middle of its stream to the
next answer, `recovery_bundle_ms` from when a damaged bundle, which must not start, is whole again
until it is served beside the server that runs on.

Where a part is missing, 429 and 503 are right beside 200; where the server is, no connection is.
The clock is not set: it is the whole machine's.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from eval.benchmarks.serving_harms import bundle_damaged, clients_left, disk_filled
from eval.benchmarks.serving_kills import (
    PATIENCE,
    database_killed,
    engine_killed,
    server_killed,
    terminated,
)
from eval.benchmarks.serving_scene import Outcome

FAULTS: dict[str, Callable[[Path, Path, list[str]], Outcome | str]] = {
    "server": server_killed,
    "engine": engine_killed,
    "database": database_killed,
    "sigterm": terminated,
    "disk": disk_filled,
    "clients": clients_left,
    "bundle": bundle_damaged,
}


def fault_figures(
    bundle: Path, folder: Path, items: list[str]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """All faults, one after the other.

    Returns:
        The figures, and why a figure is missing.
    """
    figures: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    total = {"errors": 0, "invalid_items": 0, "lost": 0, "orphans": 0}
    for name, fault in FAULTS.items():
        with TemporaryDirectory(dir=folder) as place:
            outcome = fault(bundle, Path(place), items)
        figure = f"recovery_{name}_ms"
        if isinstance(outcome, str):
            figures[figure], reasons[figure] = None, outcome
            continue
        figures[figure] = outcome.ms
        if outcome.ms is None:
            reasons[figure] = f"there was no answer within {PATIENCE:g} s"
        total["errors"] += outcome.errors
        total["invalid_items"] += outcome.invalid
        total["lost"] += outcome.lost
        total["orphans"] += outcome.orphans
    return figures | {f"fault_{name}": value for name, value in total.items()}, reasons

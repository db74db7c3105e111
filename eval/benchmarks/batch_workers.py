"""Two workers of a Ray cluster on this machine against one."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eval.benchmarks.batch_runs import ANSWERS, command, differing_parts
from eval.benchmarks.batch_waiting import HOOK

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Where Ray looks for the options of a job that is connected to a cluster."""


@contextmanager
def cluster() -> Iterator[str]:
    """Two nodes with a core each on this machine; the address of their head."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    from ray.cluster_utils import Cluster

    nodes = Cluster()
    try:
        for _ in range(2):
            nodes.add_node(num_cpus=1, object_store_memory=80 << 20, include_dashboard=False)
        yield str(nodes.address)
    finally:
        nodes.shutdown()


def speedup(
    bundle: Path, users: Path, folder: Path, options: tuple[str, ...], *, waiting: bool
) -> tuple[float, int]:
    """Have one job done by one worker and by two.

    Ray's start and the loading of bundles are left out, which workers do at different times: what
    is compared are the parts a second of the second half.

    Args:
        bundle: The bundle.
        users: The table of users.
        folder: Where the answers go.
        options: Of the command.
        waiting: Whether the model has a fixed cost.

    Returns:
        How much faster two are, and how many parts differ.
    """
    paces, environment = [], dict(os.environ)
    if waiting:
        environment[JOB] = json.dumps({"runtime_env": {"worker_process_setup_hook": HOOK}})
    outputs = [folder / f"workers-{count}-{'waiting' * waiting}" for count in (1, 2)]
    with cluster() as address:
        for count, output in enumerate(outputs, 1):
            flags = ("--ray", address, "--workers", str(count))
            arguments = command(bundle, users, output, *options, *flags)
            subprocess.run(arguments, check=True, capture_output=True, env=environment)
            paces.append(_pace(output))
    return paces[1] / paces[0], differing_parts(*outputs)


def _pace(output: Path) -> float:
    """Parts a second of the second half, when every worker has loaded its model."""
    ends = sorted(file.stat().st_mtime for file in output.glob(ANSWERS))
    late = ends[len(ends) // 2 :]
    return (len(late) - 1) / (late[-1] - late[0])

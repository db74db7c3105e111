"""The missing parts of a job on a Ray cluster: each worker writes the files of its parts itself.

What goes through Ray are the numbers of parts and what became of them. A part that a lost worker
had is done by another.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext

from rec_gen.notices import quiet
from rec_gen.remote import found
from serving.batch.config import BatchConfig, ClusterConfig
from serving.batch.input import Users
from serving.batch.part_worker import PartWorker
from serving.batch.parts import Part
from serving.batch.work import Done
from serving.ray_connection import connect

AHEAD = 2
"""Parts that a worker has or waits with, so that it need not wait for the next."""


class RayWorker:
    """A worker in a process of Ray."""

    def __init__(self, config: BatchConfig, users: Users, digest: str) -> None:
        quiet()
        self._worker = PartWorker(config, users, digest)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do the parts of a batch of Ray Data."""
        columns = (batch[name].tolist() for name in ("number", "start", "stop"))
        parts = [Part(*each) for each in zip(*columns, strict=True)]
        return {"said": [json.dumps(self._worker.do(part)) for part in parts]}


def do_parts(
    config: BatchConfig, users: Users, digest: str, parts: Sequence[Part]
) -> Iterator[Done]:
    """Have parts done by the workers of a cluster, which see the same files as this process.

    Args:
        config: The job.
        users: The table of users.
        digest: The digest of the bundle's manifest.
        parts: What is missing.

    Raises:
        ConfigError: There is no cluster.
        RecGenError: A worker cannot go on.
    """
    cluster = config.ray or ClusterConfig()
    connect(cluster.address)
    try:
        DataContext.get_current().enable_progress_bars = False
        rows = [asdict(part) for part in parts]
        told = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            RayWorker,
            batch_size=1,
            compute=ActorPoolStrategy(
                size=min(config.workers, len(parts)), max_tasks_in_flight_per_actor=AHEAD
            ),
            fn_constructor_args=(_absolute(config), users.absolute(), digest),
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus,
        )
        for row in told.iter_rows():
            yield Done(**found(json.loads(row["said"])))
    finally:
        ray.shutdown()


def _absolute(config: BatchConfig) -> BatchConfig:
    names = ("bundle", "users", "output")
    return config.model_copy(update={name: getattr(config, name).absolute() for name in names})

"""Many servers behind one address: the server as a deployment of Ray Serve."""

import logging
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from ray import serve
from ray.serve.config import AutoscalingConfig, HTTPOptions

from rec_gen.errors import ModelError
from rec_gen.manifest import read_manifest
from serving.app import create_app
from serving.config import RayConfig, ServeConfig
from serving.garbage import spare_what_is_loaded
from serving.keys import KeyFile
from serving.logs import set_up_logs
from serving.ray_connection import connect
from serving.server import END_SECONDS
from serving.service import Service, open_service
from serving.tracing import sent_traces

NAME = "recgen"
"""The application and its deployment, as Ray calls them."""
FAILURES = 30
"""Checks in a row, one every ten seconds, that may find a server without an engine."""
SCRAPE_SECONDS = 5.0
"""How long `/metrics` waits for the other servers."""
logger = logging.getLogger(__name__)


@serve.ingress()
class Replica:
    """One server of many, in a process of Ray; Ray's proxies hand it whole HTTP requests."""

    async def __init__(self, config: ServeConfig) -> None:  # type: ignore[misc]
        set_up_logs(config.log_level)
        self._open, self._failed = AsyncExitStack(), 0
        self._service = await self._open.enter_async_context(_service(config))
        self._service.counted = _counted
        spare_what_is_loaded()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The application, once the parts are there."""
        return create_app(self._service)

    async def counts(self) -> tuple[str, list[Metric]]:
        """The name of this server and what it has counted."""
        replica = serve.get_replica_context().replica_id.unique_id
        return replica, list(self._service.metrics.registry.collect())

    async def check_health(self) -> None:
        """Ray puts another server in the place of one that raises, or that does not return.

        Raises:
            RuntimeError: Nothing is answered any more.
        """
        if not self._service.batcher.running:
            raise RuntimeError("the batcher has ended")
        self._failed = 0 if self._service.engine.up else self._failed + 1
        if self._failed > FAILURES:
            raise RuntimeError("the engine does not start")

    async def __del__(self) -> None:
        """Ray calls this when no request goes here any more and all are answered."""
        await self._open.aclose()


@asynccontextmanager
async def _service(config: ServeConfig) -> AsyncIterator[Service]:
    with sent_traces():
        async with open_service(config) as service:
            yield service


async def _counted() -> CollectorRegistry:
    """What all servers have counted, since a proxy may ask any of them."""
    replicas = serve.get_deployment_handle(NAME, NAME).broadcast("counts")
    found = await replicas.results_async(timeout_s=SCRAPE_SECONDS, return_exceptions=True)
    registry = CollectorRegistry()
    registry.register(
        LabelledMetrics(counts for counts in found if not isinstance(counts, BaseException))
    )
    return registry


class LabelledMetrics:
    """The metrics of several servers as one, each with the label `replica`."""

    def __init__(self, replicas: Iterable[tuple[str, Iterable[Metric]]]) -> None:
        self._families: dict[str, Metric] = {}
        for replica, metrics in replicas:
            for metric in metrics:
                empty = Metric(metric.name, metric.documentation, metric.type, metric.unit)
                whole = self._families.setdefault(metric.name, empty)
                for sample in metric.samples:
                    labels = {**sample.labels, "replica": replica}
                    whole.add_sample(sample.name, labels, sample.value)

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from self._families.values()


def application(config: ServeConfig, cluster: RayConfig) -> serve.Application:
    """What Ray is told to run.

    A server refuses with 429 what its own queue cannot take, so Ray may send it more than that.
    """
    batching = config.batching
    deployment = serve.deployment(
        Replica,
        name=NAME,
        max_ongoing_requests=batching.queue + 2 * batching.max_batch,
        autoscaling_config=AutoscalingConfig(
            min_replicas=cluster.min_replicas,
            max_replicas=cluster.max_replicas,
            target_ongoing_requests=cluster.ongoing or batching.max_batch,
            upscale_delay_s=cluster.upscale_seconds,
        ),
        ray_actor_options={"num_cpus": cluster.cpus, "num_gpus": cluster.gpus},
        max_surge_percent=cluster.surge_percent,
        max_constructor_retry_count=3,
        graceful_shutdown_timeout_s=batching.deadline_ms / 1000 + END_SECONDS,
    )
    return deployment.bind(config)


def run(config: ServeConfig) -> None:
    """Serve a bundle on a cluster, or update what is served there; returns once that is done.

    Old servers answer until new ones can. `serve shutdown` of Ray ends them.

    Raises:
        BundleError: There is no bundle.
        ConfigError: The keys cannot be read, or there is no cluster.
        ModelError: The servers do not start; those that ran before go on.
    """
    cluster = config.ray or RayConfig()
    read_manifest(config.bundle)
    if config.keys is not None:
        KeyFile(config.keys)
    set_up_logs(config.log_level)
    connect(cluster.address)
    try:
        _deploy(with_absolute_paths(config), cluster)
    finally:
        ray.shutdown()


def with_absolute_paths(config: ServeConfig) -> ServeConfig:
    """The same files, for servers that start in other folders."""
    paths: dict[str, Any] = {
        "bundle": config.bundle.absolute(),
        "adapters": {name: path.absolute() for name, path in config.adapters.items()},
    }
    if config.keys is not None:
        paths["keys"] = config.keys.absolute()
    if config.tls:
        cert, key = config.tls.cert.absolute(), config.tls.key.absolute()
        paths["tls"] = config.tls.model_copy(update={"cert": cert, "key": key})
    if config.mask and config.mask.names and Path(config.mask.names).is_dir():
        names = str(Path(config.mask.names).absolute())
        paths["mask"] = config.mask.model_copy(update={"names": names})
    return config.model_copy(update=paths)


def _deploy(config: ServeConfig, cluster: RayConfig) -> None:
    options = HTTPOptions(host=config.host, port=config.port)
    if config.tls:
        options.ssl_certfile = str(config.tls.cert)
        options.ssl_keyfile = str(config.tls.key)
    serve.start(http_options=options)
    try:
        serve.run(application(config, cluster), name=NAME)
    except RuntimeError as error:
        raise ModelError(f"the servers do not start: {_reason()}") from error
    scheme = "https" if config.tls else "http"
    logger.info("deployed", extra={"fields": {"url": f"{scheme}://{config.host}:{config.port}"}})


def _reason() -> str:
    """What the last server that did not start said, without its trace."""
    message = serve.status().applications[NAME].deployments[NAME].message
    errors = re.findall(r"^[\w.]*Error: (.+)", message, re.MULTILINE)
    return str(errors[-1] if errors else message.partition("\n")[0])

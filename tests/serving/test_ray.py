"""Many servers on a Ray cluster: two nodes on this machine, real requests, a real update."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from eval.benchmarks.serving_redis import free_port
from rec_gen.masking import Masking
from serving.config import ServeConfig, TlsConfig
from serving.metrics import Metrics
from serving.ray_cluster import LabelledMetrics, with_absolute_paths
from tests.rec_gen.command import error
from tests.serving.server import ROOT
from tests.serving.stores import redis
from tests.toy import rated, toy_dataset, toy_recipe
from training.sft import train

ASK = {"history": ["i1", "i2"], "k": 3}
NODES = {
    "PYTHONPATH": str(ROOT),
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # at Ray's 15, servers starve beside their clients on two cores
}


def test_metrics_of_several_servers_are_told_apart() -> None:
    both = []
    for name, answers in (("a", 2), ("b", 3)):
        metrics = Metrics()
        metrics.answers.inc(answers)
        metrics.latency.labels("total").observe(answers)
        both.append((name, list(metrics.registry.collect())))
    registry = CollectorRegistry()
    registry.register(LabelledMetrics(both))
    text = generate_latest(registry).decode()
    assert 'recgen_answers_total{replica="a"} 2.0' in text
    assert 'recgen_answers_total{replica="b"} 3.0' in text
    assert 'recgen_latency_seconds_sum{replica="b",stage="total"} 3.0' in text
    assert text.count("# TYPE recgen_answers_total") == 1


def test_servers_in_other_folders_find_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spacy").mkdir()
    config = ServeConfig(
        bundle=Path("bundle"),
        runtime="vllm",
        adapters={"one": Path("adapter")},
        keys=Path("keys.toml"),
        tls=TlsConfig(cert=Path("cert.pem"), key=Path("key.pem")),
        mask=Masking(names="spacy"),
    )
    moved = with_absolute_paths(config)
    assert moved.tls
    assert moved.mask
    assert moved.bundle == tmp_path / "bundle"
    assert moved.adapters == {"one": tmp_path / "adapter"}
    assert moved.keys == tmp_path / "keys.toml"
    assert (moved.tls.cert, moved.tls.key) == (tmp_path / "cert.pem", tmp_path / "key.pem")
    assert moved.mask.names == str(tmp_path / "spacy")
    installed = config.model_copy(update={"mask": Masking(names="en_core_web_sm")})
    assert with_absolute_paths(installed).mask == installed.mask


def test_where_no_cluster_is_one_line_says_so(bundle: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    code, line = error("serve", bundle, "--ray", address, "--store", "redis://localhost/0")
    assert code == 2
    assert f"ray.address '{address}': no Ray cluster answers there" in line


@contextmanager
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Two nodes with a core each; its address. None of their processes is left."""
    import ray
    from ray import serve
    from ray.cluster_utils import Cluster

    for name, value in NODES.items():
        monkeypatch.setenv(name, value)
    before = descendants()
    nodes = Cluster()
    try:
        for _ in range(2):
            nodes.add_node(num_cpus=1, object_store_memory=80 << 20, include_dashboard=False)
        yield nodes.address
        ray.init(nodes.address, log_to_driver=False)
        assert len(ray.nodes()) == 2
        serve.shutdown()
    finally:
        ray.shutdown()
        mine = descendants() - before
        nodes.shutdown()
    assert mine
    until(lambda: not descendants(mine))


def descendants(among: set[int] | None = None) -> set[int]:
    """The processes below this one, or those of some that still run."""
    living = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                living[int(stat.parent.name)] = int(parent)
    if among is not None:
        return among & living.keys()
    found = {os.getpid()}
    while more := {pid for pid, parent in living.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def until(done: Callable[[], object]) -> None:
    for _ in range(1200):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it never came to that")


def deploy(bundle: Path, address: str, store: str, port: int) -> "subprocess.CompletedProcess[str]":
    options = [
        "max_replicas=2",
        "ongoing=0.3",
        "upscale_seconds=1",
        "surge_percent=0",  # no core is free for a third server
    ]
    settings = [*(f"ray.{option}" for option in options), "limits.rate=1000000/minute"]
    flags = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "rec_gen", "serve", str(bundle), "--ray", address, *flags]
    flags = ["--store", store, "--port", str(port)]
    return subprocess.run([*command, *flags], cwd=ROOT, capture_output=True, text=True)


class Clients:
    """Ask again and again, each time over a new connection, and count what comes.

    They leave the cores to the servers: each rests after an answer, and certificates are read once.
    """

    def __init__(self, url: str, count: int) -> None:
        self.url, self.seen, self._stop = url, Counter[tuple[int | str, str]](), False
        self._context = httpx.create_ssl_context()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._stop:
            try:
                answer = httpx.post(
                    f"{self.url}/v1/recommendations", json=ASK, timeout=60, verify=self._context
                )
                self.seen[answer.status_code, answer.json().get("model", answer.text)] += 1
            except httpx.HTTPError as failure:
                self.seen[repr(failure), ""] += 1
            time.sleep(0.05)


def answers(url: str) -> dict[str, float]:
    """How many answers each server has given."""
    return {
        sample.labels["replica"]: sample.value
        for family in text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=60).text)
        for sample in family.samples
        if sample.name == "recgen_answers_total" and sample.value
    }


@pytest.mark.slow
def test_servers_grow_with_the_load_and_are_updated_without_an_error(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = toy_recipe(name="other", spelling={"scheme": "title"}, prompt={"max_tokens": 600})
    second = train(other, rated(toy_dataset()), tmp_path / "other")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with redis(tmp_path) as (store, _), cluster(monkeypatch) as address:
        done = deploy(bundle, address, store, port)
        assert '"deployed"' in done.stderr, done.stderr
        assert httpx.get(f"{url}/readyz").status_code == 200
        with Clients(url, 4) as clients:
            until(lambda: len(answers(url)) == 2)  # a core each, so one on each node
            assert set(clients.seen) == {(200, "toy")}
            event = {"user": "u", "item": "i4"}
            httpx.post(f"{url}/v1/events", json=event).raise_for_status()
            assert deploy(second, address, store, port).returncode == 0
            before = clients.seen[200, "toy"]
            until(lambda: clients.seen[200, "other"] > 50)
            assert len(answers(url)) == 2
            assert clients.seen[200, "toy"] - before <= 4
        assert set(clients.seen) == {(200, "toy"), (200, "other")}
        with (second / "model" / "model.safetensors").open("ab") as file:
            file.write(b"spoilt")
        failed = deploy(second, address, store, port)
        assert failed.returncode == 1
        assert "do not start: " in failed.stderr
        assert "model/model.safetensors was changed after training" in failed.stderr
        assert httpx.get(f"{url}/v1/models").json()["data"][0]["id"] == "other"
        kept = httpx.get(f"{url}/v1/users/u/history").json()["events"]
        assert [event["item"] for event in kept] == ["i4"]

"""What is seen of requests: logs that tell no secrets, counts, traces."""

import gzip
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import openai
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import Gauge
from prometheus_client.parser import text_string_to_metric_families

from serving.drift import PopularityDrift
from serving.keys import SCOPES, create_key
from tests.serving.server import served

ASK = "/v1/recommendations"


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """What takes in traces over OTLP."""
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
def test_logs_tell_what_happened_and_no_secret(tasks_bundle: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    secret = create_key(keys, "shop", SCOPES)
    store = f"sqlite:///{tmp_path}/store.db"
    with (
        collector() as (endpoint, traces),
        served(
            tasks_bundle, "--store", store, "--keys", keys, "--log-level", "debug",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        ) as server,
    ):  # fmt: skip
        with server.client(secret) as client:
            event = {"user": "secret-user", "item": "i7", "session": "secret-session"}
            parent = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
            assert client.post("/v1/events", json=event).status_code == 200
            asked = client.post(ASK, json={"user": "secret-user"}, headers=parent)
            assert asked.status_code == 200
            assert client.get("/v1/users/secret-user/history").status_code == 200
            assert client.post(ASK, json={"history": ["secret-item"]}).status_code == 422
            assert client.post(ASK, content=b"secret-body").status_code == 400
            assert client.post(ASK, json={"history": [], "where": "secret_rule"}).status_code == 400
            assert client.get("/v1/nothing/secret-path?secret-query").status_code == 404
            counts = client.get("/metrics").text
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret) as chat:
            words = [{"role": "user", "content": "secret-words amber"}]
            chat.chat.completions.create(model="toy", messages=words)  # type: ignore[arg-type]
        with server.client("rg_wrong-key") as stranger:
            assert stranger.get("/v1/models").status_code == 401
        assert server.stop() == 0
    text = "".join(server.logs)
    for hidden in ("secret", secret, secret.split("_")[2], "wrong-key", "i7", "Film"):
        assert hidden not in text
    lines = [json.loads(line) for line in server.logs]
    requests = [line for line in lines if line["event"] == "request"]
    routes = {line["route"] for line in requests}
    assert {ASK, "/v1/users/{user}/history", "unmatched"} <= routes
    hashes = {line["user"] for line in requests if line["user"]}
    assert len(hashes) == 1
    assert lines[-1]["event"] == "ended"
    assert_counts(counts)
    assert_traces(traces)
    assert "secret" not in str(traces)


def assert_counts(text: str) -> None:
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    asked = (("method", "POST"), ("route", ASK), ("status", "200"))
    assert samples["recgen_requests_total", asked] == 1
    assert samples["recgen_answers_total", ()] == 1
    assert samples["recgen_items_total", ()] == 10
    assert samples["recgen_invalid_items_total", ()] == 0
    assert samples["recgen_events_total", ()] == 1
    assert samples["recgen_batch_size_count", ()] == 2  # the wrong rule ran as well
    assert samples["recgen_tokens_total", (("kind", "prompt"),)] > 0
    for stage in ("store", "queue", "search", "total"):
        assert samples["recgen_latency_seconds_count", (("stage", stage),)] == 1


def assert_traces(traces: list[ExportTraceServiceRequest]) -> None:
    spans = [
        span
        for request in traces
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    mine = [span for span in spans if span.trace_id.hex() == "ab" * 16]
    assert {span.name for span in mine} == {f"POST {ASK}", "store", "queue", "search"}
    (root,) = (span for span in mine if span.name == f"POST {ASK}")
    assert root.parent_span_id.hex() == "cd" * 8
    assert all(span.parent_span_id == root.span_id for span in mine if span is not root)


def test_drift_is_1_while_nothing_changes_and_falls_where_the_items_are_others() -> None:
    gauge = Gauge("drift", "Drift.", registry=None)
    drift = PopularityDrift(gauge, first=50)
    for number in range(400):
        drift.observe(["a", "b", "cd"[number % 2]])
    assert gauge._value.get() == pytest.approx(1)
    for _ in range(400):
        drift.observe(["x", "y"])
    assert gauge._value.get() < 0.05
    drift.observe([])


@pytest.mark.slow
def test_tls_and_cors(bundle: Path, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    name = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([openssl, *made, *name], check=True, capture_output=True)
    options = ["--tls-cert", cert, "--tls-key", key, "--cors", "https://shop.example"]
    store = f"sqlite:///{tmp_path}/store.db"
    with served(bundle, "--store", store, *options) as server:
        assert server.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(cert))
        with server.client(verify=context) as client:
            asked = {
                "Origin": "https://shop.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization",
            }
            allowed = client.options(ASK, headers=asked)
            assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
            assert "max-age" in allowed.headers["strict-transport-security"]
            other = client.options(ASK, headers={**asked, "Origin": "https://evil.example"})
            assert "access-control-allow-origin" not in other.headers
            answer = client.post(
                ASK, json={"history": []}, headers={"Origin": "https://shop.example"}
            )
            assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        with pytest.raises(httpx.TransportError):
            httpx.get(server.url.replace("https", "http") + "/healthz")

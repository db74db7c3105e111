"""A server under load: changes while requests go on, overload, clients that leave, the end."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from eval.benchmarks.serving_client import raw_request
from tests.serving.server import Server, served, until

ASK = "/v1/recommendations"
ALL = {f"i{item}" for item in range(12)}


@contextmanager
def load(server: Server, clients: int) -> Iterator[list[httpx.Response | httpx.TransportError]]:
    """Clients that ask one request after the other until the block ends."""
    ended = threading.Event()
    answers: list[httpx.Response | httpx.TransportError] = []

    def ask(number: int) -> None:
        with server.client() as client:
            while not ended.is_set():
                body = {"history": [f"i{number % 12}"], "k": 99}
                identity = {"X-Request-ID": f"load-{number}-{len(answers)}"}
                try:
                    answer = client.post(ASK, json=body, headers=identity)
                    answers.append(answer)
                    if answer.status_code == 503:
                        time.sleep(0.05)
                except httpx.TransportError as error:
                    answers.append(error)
                    time.sleep(0.01)

    with ThreadPoolExecutor(clients) as pool:
        asking: list[Future[None]] = [pool.submit(ask, number) for number in range(clients)]
        try:
            yield answers
        finally:
            ended.set()
            for future in asking:
                future.result()


def recommended(answer: httpx.Response) -> set[str]:
    return {item["id"] for item in answer.json()["items"]}


def test_items_come_and_go_under_load(server: Server) -> None:
    with load(server, 8) as answers, server.client() as client:
        for number in range(5):
            item = {"id": f"n{number}", "title": f"New {number}"}
            client.put("/v1/items", json={"items": [item]}).raise_for_status()
            asked = {"history": ["i1"], "k": 99}
            assert item["id"] in recommended(client.post(ASK, json=asked))
            client.delete(f"/v1/items/{item['id']}").raise_for_status()
            assert recommended(client.post(ASK, json=asked)) == ALL - {"i1"}
            before = len(answers)
            until(lambda before=before: len(answers) > before + 8)  # type: ignore[misc]
        metrics = client.get("/metrics").text
    assert {getattr(answer, "status_code", 0) for answer in answers} == {200}
    assert "recgen_invalid_items_total 0.0" in metrics
    sizes = [len(recommended(answer)) for answer in answers if isinstance(answer, httpx.Response)]
    assert set(sizes) <= {11, 12}


@pytest.mark.slow
def test_overload_is_told_and_what_is_accepted_is_answered(bundle: Path, tmp_path: Path) -> None:
    settings = ["--set", "batching.max_batch=1", "--set", "batching.queue=2"]
    store = f"sqlite:///{tmp_path}/store.db"
    with served(bundle, "--store", store, *settings) as server:
        with load(server, 12) as answers:
            until(lambda: sum(getattr(one, "status_code", 0) == 200 for one in answers) > 20)
        statuses = {getattr(answer, "status_code", 0) for answer in answers}
        assert statuses == {200, 429}
        refused = next(answer for answer in answers if getattr(answer, "status_code", 0) == 429)
        assert isinstance(refused, httpx.Response)
        assert refused.json()["error"]["code"] == "overloaded"
        assert int(refused.headers["retry-after"]) >= 1


@pytest.mark.slow
def test_the_end_loses_nothing_that_was_accepted(bundle: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    with served(bundle, "--store", store, "--set", "drain_seconds=0.5") as server:
        kept: list[str] = []

        def tell() -> None:
            with server.client() as client:
                for number in range(100_000):
                    key = f"e{number}"
                    event = {"user": "u", "item": "i1", "session": key}
                    try:
                        answer = client.post("/v1/events", json=event)
                    except httpx.TransportError:
                        return
                    assert answer.status_code == 200
                    kept.append(key)

        with load(server, 6) as answers, ThreadPoolExecutor(1) as pool, server.client() as client:
            telling = pool.submit(tell)
            until(lambda: len(answers) > 30 and len(kept) > 10)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: client.get("/readyz").status_code == 503)
            assert client.get("/healthz").status_code == 200
            assert server.process.wait(60) == 0
            telling.result()
        good = [answer for answer in answers if isinstance(answer, httpx.Response)]
        assert {answer.status_code for answer in good} == {200}
        lines = [json.loads(line) for line in server.logs]
        begun = {line["request_id"] for line in lines if line.get("route") == ASK}
        assert begun == {answer.headers["x-request-id"] for answer in good}
    with served(bundle, "--store", store) as server, server.client() as client:
        events = client.get("/v1/users/u/history").json()["events"]
        assert set(kept[-900:]) <= {event["session"] for event in events}


@pytest.mark.slow
def test_a_client_that_leaves_is_not_waited_for(bundle: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    settings = ["--set", "batching.max_batch=1"]
    with served(bundle, "--store", store, *settings) as server, server.client() as client:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        asked = raw_request("POST", ASK, {"history": ["i1"], "k": 12, "exclude_seen": False})

        def counted(name: str) -> float:
            lines = client.get("/metrics").text.splitlines()
            return float(next(line.split()[-1] for line in lines if line.startswith(name)))

        for _ in range(40):
            with socket.create_connection(address) as connection:
                connection.sendall(asked)
        until(lambda: counted("recgen_queue_length") == 0)
        assert client.post(ASK, json={"history": ["i1"]}).status_code == 200
        assert counted("recgen_dropped_total") > 0
        assert counted("recgen_batch_size_count") + counted("recgen_dropped_total") <= 41

"""The benchmarks of the server: they count what they say and they run; times are not looked at."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest

from eval.benchmarks import hostile, serving
from eval.benchmarks.hostile_bodies import VALID, malformed
from eval.benchmarks.serving_client import invalid_items
from eval.benchmarks.serving_faults import FAULTS
from eval.benchmarks.serving_load import K
from eval.benchmarks.serving_plan import CUT, UNREACHABLE, Load, Plan, load
from eval.benchmarks.serving_race import race_figure
from eval.benchmarks.serving_redis import free_port
from eval.benchmarks.serving_scene import Outcome
from eval.benchmarks.serving_server import engine_process, random_titles, served
from rec_gen.testing import random_bundle
from tests.eval.test_benchmarks import figures
from tests.serving.server import until

ITEMS = [f"i{n}" for n in range(30)]


class Liar(BaseHTTPRequestHandler):
    """Recommends as its server is told to, rightly or not."""

    protocol_version = "HTTP/1.1"
    lie: ClassVar[str]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.lie == "hangs up":
            self.close_connection = True
            return
        if self.lie == "is slow":
            time.sleep(0.05)
        items = [item for item in ITEMS if item not in asked["history"]][: asked["k"]]
        if self.lie == "repeats":
            items[-1] = items[0]
        elif self.lie == "is short":
            items.pop()
        elif self.lie == "is long":
            items.append("i29")
        elif self.lie == "recalls":
            items[0] = asked["history"][0]
        elif self.lie == "invents":
            items[0] = "new"
        status = {"fails": 500, "refuses": 429, "refuses barely": 429}.get(self.lie, 200)
        body = json.dumps({"items": [{"id": item} for item in items]}).encode()
        if self.lie == "babbles":
            body = b"{}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if self.lie == "refuses":
            self.send_header("Retry-After", "2")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def lying(lie: str) -> Iterator[str]:
    """The address of a server that does not keep what the real one promises."""
    handler = type("Handler", (Liar,), {"lie": lie})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def under_load(lie: str, **plan: Any) -> Load:
    with lying(lie) as url:
        return load(Plan(url, ITEMS, **{"clients": 2, "rows": True, **plan}), 0.5)


@pytest.mark.parametrize("rate", [None, 60.0])
def test_a_right_answer_is_neither_an_error_nor_invalid(rate: float | None) -> None:
    found = under_load("does not", rate=rate)
    assert found.statuses.keys() == {200}
    assert found.statuses[200] == len(found.rows) > 5
    assert (found.errors(), found.wrong_items(), found.bare_refusals) == (0, 0, 0)
    assert found.rate > 0
    assert 0 < found.ms[0] <= found.ms[1] <= found.ms[2]
    assert len({name for name, *_ in found.rows}) == len(found.rows)


@pytest.mark.parametrize(
    ("lie", "wrong"),
    [
        ("repeats", 1),
        ("is short", 1),
        ("is long", 1),
        ("recalls", 1),
        ("invents", 1),
        ("babbles", K),
    ],
)
def test_a_wrong_answer_is_counted(lie: str, wrong: int) -> None:
    found = under_load(lie)
    assert found.statuses[200] > 5
    assert found.wrong_items() == wrong * found.statuses[200]


@pytest.mark.parametrize(
    ("lie", "status", "bare"),
    [("fails", 500, False), ("refuses", 429, False), ("refuses barely", 429, True),
     ("hangs up", CUT, False)],
)  # fmt: skip
def test_what_is_no_answer_is_counted(lie: str, status: int, bare: bool) -> None:
    found = under_load(lie)
    assert found.statuses.keys() == {status}
    count = found.statuses[status]
    assert found.errors() == count > 5
    assert found.errors(status) == 0
    assert found.bare_refusals == bare * count
    assert found.rate == 0


def test_a_server_that_is_not_there_is_told_from_one_that_hangs_up() -> None:
    found = load(Plan(f"http://127.0.0.1:{free_port()}", ITEMS, clients=2), 0.3)
    assert found.statuses.keys() == {UNREACHABLE}


def test_a_latency_counts_from_when_a_request_was_due() -> None:
    closed = under_load("is slow", clients=1)
    opened = under_load("is slow", clients=1, rate=60.0)
    assert closed.ms[0] >= 50
    assert opened.statuses[200] > closed.statuses[200]  # what was due is asked, however late
    assert opened.ms[2] > 500  # the last of some 30 waited for the others, 50 ms each


def test_an_item_of_others_is_right_while_it_lives() -> None:
    found = Load({200: 4}, 1, 0, [("n", 2.0, 3.0), ("n", 5.0, 6.0)], (1, 1, 1), 1.0, 0.1, [])
    assert found.wrong_items() == 3
    assert found.wrong_items({"n": (3.0, 5.0)}) == 1
    assert found.wrong_items({"n": (3.5, 5.0)}) == 2
    assert found.wrong_items({"n": (3.0, 4.5)}) == 2


def test_invalid_items() -> None:
    assert invalid_items(["a", "b"], 2, {"a", "b"}, ()) == 0
    assert invalid_items(["a", "b", "c"], 2, {"a", "b", "c"}, ()) == 1
    assert invalid_items([], 2, {"a", "b"}, ()) == 2


def test_bodies_are_malformed_in_every_way_and_the_same_again() -> None:
    valid = repr(VALID)
    for one in VALID.values():
        made = [malformed(one, f"seed-{number}") for number in range(600)]
        assert made == [malformed(one, f"seed-{number}") for number in range(600)]
        assert len({request.kind for request in made}) == 16
        assert sum(request.body == json.dumps(one).encode() for request in made) < 200
    assert repr(VALID) == valid


def test_the_engine_is_the_largest_process_below_the_server() -> None:
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', {!r}]).wait()"
    big = "blob = b'x' * 50_000_000; input()"
    for code, found in ((child.format(big), True), ("input()", False)):
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
            if found:
                until(lambda pid=process.pid: engine_process(pid) is not None)  # type: ignore[misc]
            engine = engine_process(process.pid)
            assert (engine is not None) == found
            assert process.stdin is not None
            process.stdin.close()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("random") / "bundle"
    random_bundle(random_titles(), "title").save(path)
    return path


@pytest.mark.slow
def test_load_is_answered_and_changes_are_seen(bundle: Path, tmp_path: Path) -> None:
    with served(bundle, tmp_path) as server:
        measured = serving.load_figures(server, tmp_path, list(random_titles().ids), 4, 2)
    found = {name: value for name, value in measured.items() if value is not None}
    assert (found["errors"], found["refused"], found["invalid_items"]) == (0, 0, 0)
    assert found["changes"] >= 3
    assert found["changes_seen_late"] == 0
    assert min(found["requests_per_second"], found["event_visible_ms"]) > 0
    assert found["item_visible_ms"] >= found["item_visible_median_ms"] > 0
    assert found["memory_start_mb"] > 100
    assert found["server_cores"] > found["client_cores"] > 0


@pytest.mark.slow
def test_the_command_reports_what_it_was_asked_for(tmp_path: Path) -> None:
    options = ("--seconds", "1", "--clients", "4", "--only", "load")
    before = {"figures": {"recovery_engine_ms": 7.0, "p50_ms": 0.0}, "reasons": {}}
    (tmp_path / "f.json").write_text(json.dumps(before))
    found = figures(serving.main, tmp_path / "f.json", *options)
    assert found["recovery_engine_ms"] == 7
    assert found["p50_ms"] > 0
    names = {"errors", "invalid_items", "p50_ms", "p95_ms", "p99_ms"}
    assert {*names, "event_visible_ms", "item_visible_ms", "memory_end_mb"} <= found.keys()
    assert "vllm_over_beam_search_rps" not in found
    assert None not in found.values()
    assert (found["errors"], found["invalid_items"]) == (0, 0)


@pytest.mark.slow
def test_overload_is_refused_rightly(tmp_path: Path) -> None:
    found = figures(serving.main, tmp_path / "f.json", "--seconds", "2", "--only", "overload")
    assert None not in found.values()
    assert found["overload_refused"] > 0
    names = ("overload_refused_without_retry_after", "overload_errors", "overload_invalid_items")
    assert [found[name] for name in names] == [0, 0, 0]
    assert found["overload_p99_ratio"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_by_a_fault(name: str, bundle: Path, tmp_path: Path) -> None:
    outcome = FAULTS[name](bundle, tmp_path, list(random_titles().ids))
    if isinstance(outcome, str):
        pytest.skip(outcome)
    assert outcome == Outcome(outcome.ms, errors=0, invalid=0, lost=0, orphans=0)
    assert outcome.ms is not None


@pytest.mark.slow
def test_nothing_malformed_fails_the_server_and_nobody_enters(tmp_path: Path) -> None:
    found = figures(hostile.main, tmp_path / "f.json", "--bodies", "200")
    assert found["malformed_bodies"] == 200
    assert found["entries_tried"] >= 20
    names = ("server_errors", "entered", "wrong_items_afterwards")
    assert [found[name] for name in names] == [0, 0, 0]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_a_random_model_races(tmp_path: Path) -> None:
    ratio, reason = race_figure(None, random_titles(), tmp_path)
    assert reason == ""
    assert ratio is not None


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_a_bundle_that_cannot_race_says_why(tmp_path: Path) -> None:
    ratio, reason = race_figure(tmp_path / "none", random_titles(), tmp_path)
    assert ratio is None
    assert str(tmp_path / "none") in reason

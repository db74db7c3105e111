"""A wall clock that is set forward or back while a server runs."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from serving.keys import SCOPES, KeyFile, create_key
from serving.tracing import add_stages, request_span
from tests.serving.conftest import in_process
from tests.serving.server import Server, served
from tests.serving.test_load import ALL, ASK, load, recommended

HOUR, DAY = 3600, 86_400
JUMPS = [-HOUR, HOUR, DAY, -DAY, -3 * DAY, 3 * DAY]
START = 1_800_000_000 + HOUR // 2
"""Half an hour into an hour since 1970, by which hourly rates are counted."""


@dataclass
class Clock:
    """The clocks of this process.

    Attributes:
        jump: How far the wall clock was set, in seconds.
        passed: Seconds that have passed for both.
    """

    jump: float = 0.0
    passed: float = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock, real = Clock(), time.monotonic
    began = real()
    monkeypatch.setattr(time, "monotonic", lambda: real() + clock.passed)
    monkeypatch.setattr(time, "time", lambda: START + clock.jump + time.monotonic() - began)
    for place in ("time.time_ns", "opentelemetry.sdk.trace.time_ns"):
        monkeypatch.setattr(place, lambda: int(time.time() * 1e9))
    return clock


@pytest.mark.anyio
async def test_rates_are_neither_kept_up_nor_forgotten_for_long(
    bundle: Path, tmp_path: Path, clock: Clock
) -> None:
    keys = tmp_path / "keys.json"
    secret = create_key(keys, "shop", ["recommend"])
    limits = {"rate": "3/hour", "failures": "2/hour"}
    async with in_process(bundle, tmp_path / "s.db", keys=keys, limits=limits) as (_, client):

        async def statuses(key: str, times: int) -> list[int]:
            headers = {"Authorization": f"Bearer {key}"}
            answers = [await client.get("/v1/models", headers=headers) for _ in range(times)]
            for answer in answers:
                if answer.status_code == 429:
                    assert 1 <= int(answer.headers["retry-after"]) <= HOUR
            return [answer.status_code for answer in answers]

        for jump in [0, *JUMPS]:
            clock.jump += jump
            assert await statuses(secret, 5) == [200, 200, 200, 429, 429]
            assert await statuses("guess", 3) == [401, 401, 429]
            clock.jump -= 2  # as the time is kept right
            assert await statuses(secret, 1) == [429]


def test_a_clock_that_is_set_back_revives_no_key(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "keys.json"
    expires = datetime.fromtimestamp(START + 60, UTC)
    secret = create_key(path, "shop", ["recommend"], expires=expires)
    keys = KeyFile(path)
    assert keys.find(secret) is not None
    clock.jump = DAY
    assert keys.find(secret) is None
    clock.jump = 0
    assert keys.find(secret) is not None
    clock.jump = -DAY
    assert keys.find(secret) is not None
    clock.passed = 61
    assert keys.find(secret) is None


def test_spans_have_the_length_of_what_they_tell(clock: Clock) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("serving.tracing.TRACER", tracer)
        for jump in JUMPS:
            with request_span("GET", {}):
                clock.jump += jump
                add_stages({"queue": 0.25, "search": 0.5})
        with pytest.raises(ValueError, match="broken"), request_span("GET", {}):
            raise ValueError("broken")
    spans = exporter.get_finished_spans()
    assert len(spans) == 3 * len(JUMPS) + 1
    for span in spans:
        assert span.start_time is not None
        assert span.end_time is not None
        assert 0 <= span.end_time - span.start_time < HOUR * 10**9
    assert spans[-1].status.status_code is trace.StatusCode.ERROR


def preloaded() -> str:
    program = shutil.which("faketime")
    found = sorted(Path("/usr/lib").glob("**/libfaketimeMT.so.1"))
    if program is None or not found:
        pytest.skip("libfaketime is not installed")
    return str(found[0])


@dataclass
class Jumping:
    """A server whose wall clock follows a file."""

    server: Server
    file: Path

    def jump(self, seconds: int) -> None:
        partial = self.file.with_suffix(".partial")
        partial.write_text(f"{seconds:+d}")
        partial.replace(self.file)


@contextmanager
def jumping(bundle: Path, folder: Path, *options: object) -> Iterator[Jumping]:
    file = folder / "clock"
    file.write_text("+0")
    environment = {
        "LD_PRELOAD": preloaded(),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    store = f"sqlite:///{folder}/store.db"
    with served(bundle, "--store", store, *options, **environment) as server:
        yield Jumping(server, file)


@pytest.mark.slow
def test_a_server_goes_on_while_its_clock_jumps(bundle: Path, tmp_path: Path) -> None:
    with jumping(bundle, tmp_path) as jumped:
        items: list[str] = []
        times: list[float] = []
        with load(jumped.server, 1) as answers, jumped.server.client() as client:
            for number, seconds in enumerate([0, -HOUR, 3 * DAY, -DAY, 0]):
                jumped.jump(seconds)
                item = f"i{number}"
                event = {"user": "u", "item": item, "session": "even" if number % 2 == 0 else "odd"}
                client.post("/v1/events", json=event).raise_for_status()
                items.append(item)
                body = {"user": "u", "k": 99, "deadline_ms": 9000}
                asked = client.post(ASK, json=body).raise_for_status()
                assert recommended(asked) == ALL - set(items)
                events = client.get("/v1/users/u/history").json()["events"]
                assert [one["item"] for one in events] == items
                times = [one["time"] for one in events]
            of_session = client.get("/v1/users/u/history", params={"session": "odd"}).json()
            assert [one["item"] for one in of_session["events"]] == items[1::2]
            metrics = client.get("/metrics").text
        assert times != sorted(times)  # the clock did go back
        assert max(times) - min(times) > 3 * DAY
        good = [answer for answer in answers if isinstance(answer, httpx.Response)]
        assert len(good) == len(answers)
        assert {answer.status_code for answer in good} == {200}
        for family in text_string_to_metric_families(metrics):
            if family.name == "recgen_latency_seconds":
                sums = [one.value for one in family.samples if one.name.endswith("_sum")]
                assert sums
                assert all(0 <= one < 600 for one in sums)
        assert jumped.server.stop() == 0


@pytest.mark.slow
def test_rates_and_keys_while_the_clock_jumps(bundle: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    secret = create_key(keys, "shop", SCOPES)
    expires = datetime.fromtimestamp(time.time() + HOUR, UTC)
    ending = create_key(keys, "shop", SCOPES, expires=expires)
    options = ["--keys", keys, "--set", "limits.rate=3/hour", "--set", "limits.failures=1000/day"]
    with jumping(bundle, tmp_path, *options) as jumped:
        with jumped.server.client(secret) as client, jumped.server.client(ending) as other:
            for seconds in [0, -HOUR, DAY, 0]:
                jumped.jump(seconds)
                answers = [client.get("/v1/models") for _ in range(4)]
                assert [one.status_code for one in answers] == [200, 200, 200, 429]
                assert 1 <= int(answers[-1].headers["retry-after"]) <= HOUR
                assert other.get("/v1/models").status_code == (401 if seconds == DAY else 200)
        assert jumped.server.stop() == 0

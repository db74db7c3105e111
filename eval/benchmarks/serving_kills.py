"""A server, its engine or its database is killed or told to end, under load."""

import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from eval.benchmarks.serving_client import ASK
from eval.benchmarks.serving_events import telling, wait_for_answer
from eval.benchmarks.serving_plan import CUT, UNREACHABLE, Load, Plan, ended, loading
from eval.benchmarks.serving_redis import DURABLE, free_port, redis_server
from eval.benchmarks.serving_server import served

CLIENTS, CALM, OUTAGE, PATIENCE = 4, 1.0, 1.0, 60.0
OUTLIVED = 1.0
"""Clients; seconds of load before and after a fault, without a database, and until giving up."""
USERS = 4


@dataclass(frozen=True)
class Outcome:
    """What came of a fault.

    Attributes:
        ms: Milliseconds until it was over; None where it never was.
        errors: Answers that had no right to be.
        invalid: Items that could not have been recommended.
        lost: Accepted requests without an answer, and acknowledged events that are not there once.
        orphans: Processes that outlived the server by more than a second.
    """

    ms: float | None
    errors: int
    invalid: int
    lost: int
    orphans: int = 0


def server_killed(bundle: Path, folder: Path, items: list[str]) -> Outcome:
    """Kill the whole server and start it again."""
    with (
        served(bundle, folder) as server,
        telling(server.url, items[0]) as shop,
        loading(Plan(server.url, items, CLIENTS, rows=True)) as crowd,
    ):
        time.sleep(CALM)
        children = psutil.Process(server.process.pid).children(recursive=True)
        killed = time.monotonic()
        server.process.kill()
        server.process.wait()
        time.sleep(OUTLIVED)
        orphans = sum(map(_outlived, children))
        with served(bundle, folder, port=int(server.url.rpartition(":")[2])) as again:
            time.sleep(CALM)
            load = ended(crowd)
            shop.end()
            lost = shop.missing(again.url)
    return Outcome(
        recovery(load, killed), load.errors(UNREACHABLE, CUT), load.wrong_items(), lost, orphans
    )


def engine_killed(bundle: Path, folder: Path, items: list[str]) -> Outcome | str:
    """Kill the engine's process, if it has one."""
    with served(bundle, folder) as server:
        engine = server.engine()
        if engine is None:
            return "the engine runs in the server's process"
        with (
            telling(server.url, items[0]) as shop,
            loading(Plan(server.url, items, CLIENTS, rows=True)) as crowd,
        ):
            time.sleep(CALM)
            killed = time.monotonic()
            engine.kill()
            wait_for_answer(server.url, PATIENCE, history=[])
            time.sleep(CALM)
            load = ended(crowd)
        lost = shop.missing(server.url)
    return Outcome(recovery(load, killed), load.errors(429, 503), load.wrong_items(), lost)


def database_killed(bundle: Path, folder: Path, items: list[str]) -> Outcome | str:
    """Kill Redis and start it again after a while."""
    program = shutil.which("redis-server")
    if program is None:
        return "redis-server is not installed"
    port = free_port()
    histories = {f"u{user}": items[3 * user : 3 * user + 3] for user in range(USERS)}
    with (
        redis_server(program, folder, port, DURABLE) as redis,
        served(bundle, folder, store=f"redis://127.0.0.1:{port}/0") as server,
    ):
        for user, history in histories.items():
            for item in history:
                event = {"user": user, "item": item}
                httpx.post(f"{server.url}/v1/events", json=event).raise_for_status()
        plan = Plan(server.url, items, CLIENTS, users=histories, rows=True)
        with telling(server.url, items[0]) as shop, loading(plan) as crowd:
            time.sleep(CALM)
            redis.kill()
            redis.wait()
            time.sleep(OUTAGE)
            with redis_server(program, folder, port, DURABLE):
                back = time.monotonic()
                time.sleep(CALM)
                wait_for_answer(server.url, PATIENCE, user=next(iter(histories)))
                load = ended(crowd)
                shop.end()
                lost = shop.missing(server.url)
    return Outcome(recovery(load, back), load.errors(429, 503), load.wrong_items(), lost)


def terminated(bundle: Path, folder: Path, items: list[str]) -> Outcome:
    """Send SIGTERM; what the log says was accepted must have been answered."""
    with (
        served(bundle, folder) as server,
        telling(server.url, items[0]) as shop,
        loading(Plan(server.url, items, CLIENTS, rows=True)) as crowd,
    ):
        time.sleep(CALM)
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(PATIENCE)
        ms = 1e3 * (time.monotonic() - told)
        load = ended(crowd)
        accepted = {line["request_id"] for line in server.lines() if line.get("route") == ASK}
    accepted |= {name for name, sent, _, status in load.rows if status == CUT and sent < told}
    lost = len(accepted.difference(row[0] for row in load.rows if row[3] == 200))
    with served(bundle, folder) as server:
        lost += shop.missing(server.url)
    errors = load.errors(UNREACHABLE, CUT) + (code != 0)
    return Outcome(ms, errors, load.wrong_items(), lost)


def recovery(load: Load, since: float) -> float | None:
    """Milliseconds from a time to the first answer to a request that was sent after it."""
    answered = (done for _, sent, done, status in load.rows if status == 200 and sent >= since)
    first = min(answered, default=None)
    return None if first is None else 1e3 * (first - since)


def _outlived(process: psutil.Process) -> bool:
    """Whether a process outlived the server that it belonged to; then it ends here."""
    with suppress(psutil.NoSuchProcess):
        if process.status() != psutil.STATUS_ZOMBIE:
            process.kill()
            return True
    return False

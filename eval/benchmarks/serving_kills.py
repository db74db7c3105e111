"""A server, its engine or its database is killed or told to end, under load."""

import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from eval.benchmarks.serving_client import ASK
from eval.benchmarks.serving_events import wait_for_answer
from eval.benchmarks.serving_plan import CUT, UNREACHABLE
from eval.benchmarks.serving_redis import DURABLE, free_port, redis_server
from eval.benchmarks.serving_scene import CALM, Outcome, recovery, under_load
from eval.benchmarks.serving_server import engine_process, served

OUTAGE, PATIENCE, OUTLIVED, USERS = 1.0, 60.0, 1.0, 4
"""Seconds without a database, until giving up, and that a process may outlive its server; users."""


def server_killed(bundle: Path, folder: Path, items: list[str]) -> Outcome:
    """Kill the whole server and start it again."""
    with served(bundle, folder) as server, under_load(server.url, items) as scene:
        children = psutil.Process(server.process.pid).children(recursive=True)
        killed = time.monotonic()
        server.process.kill()
        server.process.wait()
        time.sleep(OUTLIVED)
        orphans = sum(map(_outlived, children))
        with served(bundle, folder, port=int(server.url.rpartition(":")[2])) as again:
            time.sleep(CALM)
            load, lost = scene.end(again.url)
    return Outcome(
        recovery(load, killed), load.errors(UNREACHABLE, CUT), load.wrong_items(), lost, orphans
    )


def engine_killed(bundle: Path, folder: Path, items: list[str]) -> Outcome | str:
    """Kill the engine's process, if it has one."""
    with served(bundle, folder) as server:
        engine = engine_process(server.process.pid)
        if engine is None:
            return "the engine runs in the server's process"
        with under_load(server.url, items) as scene:
            killed = time.monotonic()
            engine.kill()
            wait_for_answer(server.url, PATIENCE, history=[])
            time.sleep(CALM)
            load, lost = scene.end(server.url)
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
        with under_load(server.url, items, histories) as scene:
            redis.kill()
            redis.wait()
            time.sleep(OUTAGE)
            with redis_server(program, folder, port, DURABLE):
                back = time.monotonic()
                time.sleep(CALM)
                wait_for_answer(server.url, PATIENCE, user=next(iter(histories)))
                load, lost = scene.end(server.url)
    return Outcome(recovery(load, back), load.errors(429, 503), load.wrong_items(), lost)


def terminated(bundle: Path, folder: Path, items: list[str]) -> Outcome:
    """Send SIGTERM; what was sent before, or is accepted by the log, must have been answered."""
    with served(bundle, folder) as server, under_load(server.url, items) as scene:
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(PATIENCE)
        ms = 1e3 * (time.monotonic() - told)
        accepted = {line["request_id"] for line in server.lines() if line.get("route") == ASK}
        with served(bundle, folder) as again:
            load, lost = scene.end(again.url)
    accepted |= {name for name, sent, _, status in load.rows if status == CUT and sent < told}
    lost += len(accepted.difference(row[0] for row in load.rows if row[3] == 200))
    errors = load.errors(UNREACHABLE, CUT) + (code != 0)
    return Outcome(ms, errors, load.wrong_items(), lost)


def _outlived(process: psutil.Process) -> bool:
    """Whether a process outlived the server that it belonged to; then it ends here."""
    with suppress(psutil.NoSuchProcess):
        if process.status() != psutil.STATUS_ZOMBIE:
            process.kill()
            return True
    return False

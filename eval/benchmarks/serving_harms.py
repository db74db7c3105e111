"""A server whose disk is full, whose clients leave, or whose bundle is damaged, under load."""

import shutil
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import click
import psutil

from eval.benchmarks.serving_client import raw_request
from eval.benchmarks.serving_kills import OUTAGE
from eval.benchmarks.serving_scene import CALM, Outcome, recovery, under_load
from eval.benchmarks.serving_server import served

CHAT, LEAVING = "/v1/chat/completions", 20


def disk_filled(bundle: Path, folder: Path, items: list[str]) -> Outcome | str:
    """Let the server's files grow no more for a while: none of its writes succeeds."""
    if not hasattr(psutil, "RLIMIT_FSIZE"):
        return "only Linux limits the files of a process that runs"
    with served(bundle, folder) as server, under_load(server.url, items) as scene:
        process = psutil.Process(server.process.pid)
        before = process.rlimit(psutil.RLIMIT_FSIZE)
        process.rlimit(psutil.RLIMIT_FSIZE, (0, before[1]))
        filled = time.monotonic()
        time.sleep(OUTAGE)
        freed = time.monotonic()
        process.rlimit(psutil.RLIMIT_FSIZE, before)
        time.sleep(CALM)
        load, lost = scene.end(server.url)
    first = min((done for sent, done in scene.shop.times if sent >= freed), default=None)
    boasts = sum(filled <= sent and done < freed for sent, done in scene.shop.times)
    ms = None if first is None else 1e3 * (first - freed)
    return Outcome(ms, load.errors() + boasts, load.wrong_items(), lost)


def clients_left(bundle: Path, folder: Path, items: list[str]) -> Outcome:
    """Clients of a stream leave after its first byte."""
    with served(bundle, folder) as server, under_load(server.url, items) as scene:
        for _ in range(LEAVING):
            _leave(server.url, items)
        left = time.monotonic()
        time.sleep(CALM)
        load, lost = scene.end(server.url)
    return Outcome(recovery(load, left), load.errors(), load.wrong_items(), lost)


def bundle_damaged(bundle: Path, folder: Path, items: list[str]) -> Outcome:
    """Put a damaged bundle where the served one was, and start from it; then the whole one."""
    place, other = folder / "bundle", folder / "other"
    shutil.copytree(bundle, place)
    other.mkdir()
    weights = max(place.rglob("*.safetensors"), key=lambda file: file.stat().st_size)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    whole, damaged = other / "whole", other / "damaged"
    shutil.copy(weights, whole)
    damaged.write_bytes(content)
    with served(place, folder) as server, under_load(server.url, items) as scene:
        damaged.replace(weights)
        refused = not _starts(place, other)
        whole.replace(weights)
        mended = time.monotonic()
        with served(place, other):
            ms = 1e3 * (time.monotonic() - mended)
        load, lost = scene.end(server.url)
    return Outcome(ms, load.errors() + (not refused), load.wrong_items(), lost)


def _starts(bundle: Path, folder: Path) -> bool:
    try:
        with served(bundle, folder):
            return True
    except click.ClickException:
        return False


def _leave(url: str, items: list[str]) -> None:
    chat = {
        "model": "random",
        "messages": [{"role": "user", "content": "a film"}],
        "history": items[:1],
        "stream": True,
    }
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
        connection.sendall(raw_request("POST", CHAT, chat))
        connection.recv(1)

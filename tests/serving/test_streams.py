"""Clients that leave a stream in the middle, or never read: what is held of them, and the end."""

import asyncio
import json
import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import uvicorn

from eval.benchmarks.serving_client import raw_request
from serving.app import create_app
from serving.server import DrainingServer
from tests.serving.conftest import in_process
from tests.serving.server import Server, served, until
from tests.serving.test_load import ALL, ASK, recommended

CHAT = "/v1/chat/completions"
LARGE = 900_000
"""Characters of each item: a list of them is more than the kernel takes for a client."""
BIG = ["--set", "limits.body_bytes=2000000"]


def request(stream: bool = True) -> bytes:
    chat = {
        "model": "toy", "messages": [{"role": "user", "content": "x"}], "history": [], "k": 12,
        "stream": stream,
    }  # fmt: skip
    return raw_request("POST", CHAT, chat)


def connect(server: Server) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
    connection.settimeout(60)
    return connection


def close(connection: socket.socket, reset: bool) -> None:
    """End a connection with RST, or with FIN."""
    if reset:
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    else:
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def sockets(server: Server) -> int:
    """How many sockets the process has open."""
    count = 0
    for name in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed in between
            count += str(name.readlink()).startswith("socket:")
    return count


def resident(server: Server) -> int:
    """Bytes of memory that the process holds."""
    fields = Path(f"/proc/{server.process.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def grown(bundle: Path, folder: Path, *settings: str) -> Iterator[Server]:
    """A server whose items are so large that no stream of them is taken by the kernel at once."""
    with served(bundle, "--store", f"sqlite:///{folder}/store.db", *BIG, *settings) as server:
        with server.client() as client:
            for item in sorted(ALL):
                row = {"id": item, "title": f"Film {item}", "fields": {"brand": "x" * LARGE}}
                client.put("/v1/items", json={"items": [row]}).raise_for_status()
        yield server


def assert_calm(server: Server) -> None:
    """Nothing went wrong that the server noticed."""
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.logs]
    assert {line["level"] for line in lines} == {"info"}
    assert not any("trace" in line for line in lines)


@pytest.mark.slow
def test_clients_that_cut_a_stream_leave_nothing_behind(bundle: Path, tmp_path: Path) -> None:
    with grown(bundle, tmp_path) as server:
        with server.client() as client:
            expected = recommended(client.post(ASK, json={"history": [], "k": 12}))
            open_before = sockets(server)

            def cut(reset: bool, read: int) -> None:
                connection = connect(server)
                connection.sendall(request())
                if read:
                    assert connection.recv(read).startswith(b"HTTP/1.1 200")
                close(connection, reset)

            held = []
            for _ in range(2):
                for number in range(12):
                    cut(reset=bool(number % 2), read=512 * (number % 3 > 0))
                assert recommended(client.post(ASK, json={"history": [], "k": 12})) == expected
                until(lambda: sockets(server) == open_before)
                held.append(resident(server))
            assert held[1] - held[0] < 4 * 12 * LARGE  # four answers; 12 were cut in between
        assert_calm(server)


@pytest.mark.slow
def test_a_client_that_reads_nothing_is_cut_off(bundle: Path, tmp_path: Path) -> None:
    with grown(bundle, tmp_path, "--set", "limits.unread_seconds=1") as server:
        with server.client() as client:
            client.get("/healthz").raise_for_status()
            open_before = sockets(server)
            stalled = [connect(server) for _ in range(4)]
            for number, connection in enumerate(stalled):
                connection.sendall(request(stream=number % 2 == 0))
            until(lambda: sockets(server) > open_before)
            assert recommended(client.post(ASK, json={"history": [], "k": 12})) == ALL
            until(lambda: sockets(server) == open_before)
            for connection in stalled:
                connection.close()
        assert_calm(server)


@pytest.mark.slow
def test_the_end_does_not_wait_for_a_client_that_reads_nothing(
    bundle: Path, tmp_path: Path
) -> None:
    soon = ["--set", "batching.deadline_ms=2000", "--set", "drain_seconds=0"]
    with grown(bundle, tmp_path, *soon) as server:
        stalled = [connect(server) for _ in range(4)]
        for number, connection in enumerate(stalled):
            connection.sendall(request(stream=number % 2 == 0))
        for connection in stalled:
            assert connection.recv(12) == b"HTTP/1.1 200"
        server.process.send_signal(signal.SIGTERM)
        assert_calm(server)
        for connection in stalled:
            connection.close()


@pytest.mark.anyio
async def test_no_task_is_left_of_a_stream_that_was_cut(bundle: Path, tmp_path: Path) -> None:
    async with in_process(bundle, tmp_path / "store.db") as (service, _):
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(service), log_config=None, lifespan="off")
        server = DrainingServer(config, service)
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        before = asyncio.all_tasks()
        for number in range(20):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(request())
            await writer.drain()
            await asyncio.sleep(0.003 * (number % 5))
            if number % 2:
                writer.transport.abort()
            else:
                writer.close()
        async with asyncio.timeout(30):
            while asyncio.all_tasks() - before or server.server_state.connections:
                await asyncio.sleep(0.01)
        assert service.metrics.registry.get_sample_value("recgen_queue_length") == 0
        server.should_exit = True
        async with asyncio.timeout(30):
            await serving

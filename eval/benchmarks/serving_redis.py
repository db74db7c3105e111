"""A Redis of one's own."""

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
"""It writes before it answers."""
STARTS = 30.0


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def redis_server(
    program: str, folder: Path, port: int, options: Sequence[str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """A Redis that listens, and is killed when the block ends.

    Args:
        program: `redis-server`.
        folder: Where it keeps its data.
        port: Where it listens, on the loopback.
        options: More of its options.

    Raises:
        ClickException: It does not start.
    """
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + STARTS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                raise click.ClickException(f"redis-server does not start on port {port}")
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True

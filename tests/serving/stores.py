"""Real databases in processes of their own; tests that need one skip where it is not installed."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from eval.benchmarks.serving_redis import DURABLE, free_port, redis_server
from tests.serving.server import until


@contextmanager
def redis(
    folder: Path, *options: str, port: int = 0
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A Redis that writes before it answers, unless the options say otherwise."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port = port or free_port()
    with redis_server(program, folder, port, options or DURABLE) as process:
        yield f"redis://127.0.0.1:{port}/0", process


@contextmanager
def postgres() -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A fresh PostgreSQL; as it refuses to run as root, it runs as its own user then."""
    program = shutil.which("postgres")
    if program is None:
        pytest.skip("postgres is not installed")
    with ExitStack() as stack:
        data = Path(stack.enter_context(TemporaryDirectory()))
        user = "postgres" if os.geteuid() == 0 else None
        if user:
            shutil.chown(data, user)
        yield stack.enter_context(_postgres(Path(program).resolve().parent, data, user))


@contextmanager
def _postgres(
    binaries: Path, data: Path, user: str | None
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    port = free_port()
    options = ["--auth", "trust", "--username", "recgen", "-D", str(data)]
    subprocess.run(
        [binaries / "initdb", *options], user=user, cwd="/", check=True, capture_output=True
    )
    command = [
        str(binaries / "postgres"),
        "-D",
        str(data),
        "-p",
        str(port),
        "-h",
        "127.0.0.1",
        "-k",
        "",
    ]
    process = subprocess.Popen(
        command, user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    try:
        until(lambda: subprocess.run(ready).returncode == 0)
        yield f"postgresql://recgen@127.0.0.1:{port}/postgres", process
    finally:
        process.send_signal(signal.SIGINT)  # it ends without waiting for its clients
        process.wait(30)

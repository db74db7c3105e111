"""A disk that is full for a while: what was acknowledged is kept, and later it goes on."""

import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.serving.server import Server, served
from tests.serving.test_load import ALL, ASK, recommended

Full = Callable[[Server, Path], AbstractContextManager[None]]


@contextmanager
def no_space(_: Server, folder: Path) -> Iterator[None]:
    """No block is free (ENOSPC) but for a few."""
    ballast = folder / "ballast"
    ballast.write_bytes(b"x" * (shutil.disk_usage(folder).free - 40_000))
    yield
    ballast.unlink()


@contextmanager
def no_growth(server: Server, folder: Path) -> Iterator[None]:
    """No file may grow (EFBIG) but for a few pages."""
    endless = resource.RLIM_INFINITY
    size = (folder / "store.db-wal").stat().st_size + 40_000
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, endless))
    yield
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (endless, endless))


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 2 MB, where this process may mount one."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    options = ["-t", "tmpfs", "-o", "size=2M", "none", str(folder)]
    if mount is None or umount is None or subprocess.run([mount, *options]).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run([umount, str(folder)], check=True)


def tell(client: httpx.Client, number: int) -> httpx.Response:
    """An event that fills a part of a page."""
    event = {"user": "u", "item": f"i{number % 12}", "session": f"{number}-{'x' * 200}"}
    return client.post("/v1/events", json=event)


def kept(client: httpx.Client) -> list[int]:
    events = client.get("/v1/users/u/history").raise_for_status().json()["events"]
    return [int(event["session"].partition("-")[0]) for event in events]


def ride_out(bundle: Path, folder: Path, full: Full) -> None:
    store = f"sqlite:///{folder}/store.db"
    new = {"items": [{"id": "n", "title": "New"}]}
    with served(bundle, "--store", store) as server, server.client() as client:
        acknowledged = [number for number in range(5) if tell(client, number).is_success]
        with full(server, folder):
            answers = {number: tell(client, number) for number in range(5, 40)}
            acknowledged += [number for number, answer in answers.items() if answer.is_success]
            refused = [answer for answer in answers.values() if not answer.is_success]
            assert {answer.json()["error"]["code"] for answer in refused} == {"store_unavailable"}
            assert {answer.status_code for answer in refused} == {503}
            assert client.put("/v1/items", json=new).status_code == 503
            assert kept(client) == acknowledged
            asked = client.post(ASK, json={"history": [], "k": 99}).raise_for_status()
            assert recommended(asked) == ALL
        told = [number for number in range(40, 50) if tell(client, number).is_success]
        assert told == list(range(40, 50))
        client.put("/v1/items", json=new).raise_for_status()
        assert kept(client) == acknowledged + told
        assert any("the store failed" in line and "store.db" in line for line in server.logs)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    with served(bundle, "--store", store) as server, server.client() as client:
        assert kept(client) == acknowledged + told
        asked = client.post(ASK, json={"history": [], "k": 99}).raise_for_status()
        assert recommended(asked) == ALL | {"n"}
        assert server.stop() == 0


@pytest.mark.slow
def test_a_server_rides_out_a_disk_without_space(bundle: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path):
        ride_out(bundle, tmp_path, no_space)


@pytest.mark.slow
def test_a_server_rides_out_files_that_may_not_grow(bundle: Path, tmp_path: Path) -> None:
    ride_out(bundle, tmp_path, no_growth)

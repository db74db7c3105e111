"""`recgen batch --workers`: several processes of this machine write what one writes."""

import signal
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.rec_gen.command import error
from tests.serving.server import until
from tests.serving.test_batch import contents, start, stop, table
from tests.toy import ITEMS

COUNT = 600


def written(output: Path, parts: int) -> bool:
    return len(list(output.glob("part-*.parquet"))) >= parts


@pytest.mark.slow
def test_two_processes_write_what_one_writes_however_they_end(bundle: Path, tmp_path: Path) -> None:
    histories = [[f"i{n % ITEMS}"] * (n % 5) if n % 100 else ["x"] for n in range(COUNT)]
    users = table(tmp_path / "users.parquet", user=range(COUNT), history=histories)
    alone, output = tmp_path / "alone", tmp_path / "out"
    process = start(bundle, users, alone)
    process.communicate(timeout=100)
    assert process.returncode == 0
    for sign, code, parts in ((signal.SIGKILL, -signal.SIGKILL, 3), (signal.SIGTERM, 1, 20)):
        process = start(bundle, users, output, workers=2)
        until(partial(written, output, parts))
        workers = psutil.Process(process.pid).children(recursive=True)
        stop(process, sign, output, parts)
        assert process.returncode == code
        assert len(workers) >= 2
        assert not psutil.wait_procs(workers, timeout=10)[1]
    process = start(bundle, users, output, workers=2)
    assert "were done before" in process.communicate(timeout=100)[0]
    assert process.returncode == 0
    assert contents(output) == contents(alone)
    process = start(bundle, users, tmp_path / "lost", workers=2)
    until(partial(written, tmp_path / "lost", 1))
    psutil.Process(process.pid).children(recursive=True)[-1].kill()
    told = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 1
    assert told[-1].startswith("recgen: a worker was ended by the system")


def test_what_a_worker_refuses_is_one_line(bundle: Path, tmp_path: Path) -> None:
    users = table(tmp_path / "users.parquet")
    flags = ("--workers", 2, "--set", "part_rows=2", "--where", "colour == 1")
    code, line = error("batch", bundle, users, tmp_path / "out", *flags)
    assert code == 1
    assert "colour" in line
    code, line = error(
        "batch", bundle, users, tmp_path / "out", "--workers", 2, "--runtime", "vllm"
    )
    assert (code, "several workers of vLLM are for a cluster" in line) == (2, True)

"""`recgen batch` on a Ray cluster of this machine: the same files as without."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.serving.server import ROOT
from tests.serving.test_batch import contents, table
from tests.serving.test_ray import cluster
from tests.toy import ITEMS

COUNT = 60


def batch(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "rec_gen", "batch", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_two_workers_write_what_one_process_writes(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    histories = [[f"i{n % ITEMS}"] * (n % 5) if n % 9 else ["x"] for n in range(COUNT)]
    users = table(tmp_path / "users.parquet", user=range(COUNT), history=histories)
    options = ("-k", "3", "--set", "part_rows=8")
    alone = batch(bundle, users, tmp_path / "alone", *options)
    assert alone.returncode == 0, alone.stderr
    with cluster(monkeypatch) as address:
        flags = (*options, "--ray", address, "--workers", "2")
        several = batch(bundle, users, tmp_path / "several", *flags)
        assert several.returncode == 0, several.stderr
        (tmp_path / "several" / "part-000003.parquet").unlink()
        again = batch(bundle, users, tmp_path / "several", *flags)
        assert f"{COUNT - 8} were done before" in again.stdout, again.stderr
        wrong = batch(bundle, users, tmp_path / "wrong", *flags, "--where", "colour == 1")
    assert contents(tmp_path / "alone") == contents(tmp_path / "several")
    assert pl.read_parquet(tmp_path / "several" / "failed-*.parquet")["user"][1] == 9
    assert wrong.returncode == 1
    (line,) = [each for each in wrong.stderr.splitlines() if each.startswith("recgen: ")]
    assert "colour" in line

"""An experiment with prompts goes on after a kill."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.eval.experiments import blocks, without_times


def toml(place: Path, folder: Path) -> Path:
    file = folder / "toy.toml"
    file.write_text(
        f'name = "toy"\nexact = true\nblock = 1\nhistory = [4]\n'
        f'data.prepared = "{place / "data"}"\nmodels = [{{ base = "{place / "base"}" }}]\n'
        'templates = [{ template = "next_item" }, { template = "shop_next" },'
        ' { template = "video_next" }]\n'
    )
    return file


def without_cost(page: str) -> str:
    """A page without the section that holds times, and without the plots and cells in it."""
    before, _, rest = page.partition("<h3>Cost</h3>")
    return before + rest.partition("</section>")[2]


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(place: Path, tmp_path: Path) -> None:
    file, killed, whole = toml(place, tmp_path), tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-m", "rec_gen", "prompts", "experiment", str(file), "--out"]
    with subprocess.Popen([*command, str(killed)], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(blocks(killed)) < 24 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    before = blocks(killed)
    assert 24 <= len(before) < 72
    assert not (killed / "experiment.json").exists()
    for folder in (killed, whole):
        done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=True)
        assert "result: " in done.stdout
        assert "minutes left" in done.stderr
    after = blocks(killed)
    assert len(after) == 72
    assert before.items() <= after.items()
    assert after.keys() == blocks(whole).keys()
    one, other = (json.dumps(without_times(f / "experiment.json")) for f in (killed, whole))
    assert one == other
    rows = [pl.read_parquet(f / "experiment.parquet").drop("seconds") for f in (killed, whole)]
    assert len(rows[0]) == 72
    assert_frame_equal(*rows)
    pages = [(f / "experiment.html").read_text(encoding="utf-8") for f in (killed, whole)]
    costs = [page.count("<h3>Cost</h3>") for page in pages]
    assert costs == [1, 1]
    assert without_cost(pages[0]) == without_cost(pages[1])

"""`recgen batch` inside vLLM finds what it finds with transformers."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.serving.server import ROOT
from tests.serving.test_batch import HISTORIES, answers, failures, table
from tests.serving.test_vllm_engine import trained
from tests.vllm_settings import VLLM

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
]


def test_vllm_answers_explains_and_ranks_the_same(tmp_path: Path) -> None:
    bundle = trained(tmp_path / "run", 0)
    candidates = [["i2", "i7", "i1"], ["i0"], ["x"], ["i8", "i9"], ["i4", "i5"]]
    users = table(tmp_path / "users.parquet", candidates=candidates)
    ranked = ("--candidates", "candidates", "--explain", "--set", "part_rows=3")
    found = {}
    for runtime, *more in (["transformers"], ["vllm", "--set", "vllm.enforce_eager=true"]):
        output = tmp_path / runtime
        command = [sys.executable, "-m", "rec_gen", "batch", bundle, users, output, *ranked]
        command += ["--runtime", runtime, *more]
        done = subprocess.run(
            [*map(str, command)],
            cwd=ROOT,
            env={**os.environ, **VLLM, "VLLM_ENABLE_V1_MULTIPROCESSING": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        assert failures(output)["reason"].to_list() == [
            "item 'x' is not in the catalog of 12 items"
        ]
        found[runtime] = answers(output)
    mine, theirs = found["transformers"], found["vllm"]
    assert mine["user"].n_unique() == len(HISTORIES) - 1
    assert theirs.drop("score").equals(mine.drop("score"))
    assert theirs["score"].to_list() == pytest.approx(mine["score"].to_list(), abs=1e-3)

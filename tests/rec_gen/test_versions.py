"""What a result says of where it was made."""

import os

import pytest

from rec_gen.versions import machine


def test_the_machine_is_named_with_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    plain = machine()["machine"]
    assert plain.endswith(f"{os.cpu_count()} cores")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert machine()["machine"] == f"{plain}, OMP_NUM_THREADS=3"

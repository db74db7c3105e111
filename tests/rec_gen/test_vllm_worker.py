"""rec_gen's search inside vLLM's worker, which runs in a process of its own."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rec_gen.recommender import Recommender
from tests.rec_gen.decoding.test_vllm_runtime import ROOT, wide_bundle
from tests.rec_gen.decoding.vllm_search import CASES, HISTORIES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wide_bundle(tmp_path_factory.mktemp("inside"))


@pytest.fixture(scope="module")
def said(bundle: Path) -> dict[str, Any]:
    other = wide_bundle(bundle.parent / "other", seed=1)
    command = [sys.executable, "-m", "tests.rec_gen.vllm_inside", str(bundle), str(other)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


@pytest.mark.parametrize("weights", ["packed", "plain"])
def test_answers_as_transformers_do(weights: str, bundle: Path, said: dict[str, Any]) -> None:
    recommender = Recommender.load(bundle, device="cpu")
    for case, answers in zip(CASES, said[weights]["answers"], strict=False):
        for one, other in zip(recommender.recommend(HISTORIES, **case), answers, strict=True):
            assert [found.item.id for found in one] == other["items"]
            assert [found.score for found in one] == pytest.approx(other["scores"], abs=1e-4)
            assert one.certified == other["certified"]


def test_plain_weights_are_shared_and_packed_ones_are_not(said: dict[str, Any]) -> None:
    assert said["plain"]["shared"] is True
    assert said["plain"]["outside"] == 0
    assert said["packed"]["shared"] is False
    assert said["packed"]["outside"] > 0


@pytest.mark.parametrize("weights", ["packed", "plain"])
def test_refuses_the_bundle_of_another_model(weights: str, said: dict[str, Any]) -> None:
    assert "vLLM holds other weights" in said[weights]["refused"]

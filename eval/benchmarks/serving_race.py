"""The search in vLLM against vLLM's own beam search, a short race of `eval.benchmarks.vllm`."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset, Split
from rec_gen.testing import random_bundle, tiny_model

BATCH, ROUNDS = 8, 3
USERS = BATCH * (ROUNDS + 1)
HEAD = 32
"""The least width of a head that vLLM's attention takes."""


def race_figure(bundle: Path | None, catalog: Catalog, folder: Path) -> tuple[float | None, str]:
    """How many requests the search answers for each one of the beam search in the same time.

    Args:
        bundle: A trained bundle; without one, random weights over `catalog` race.
        catalog: The items of these.
        folder: Where files go.

    Returns:
        The ratio, or None and why there is none.
    """
    if find_spec("vllm") is None:
        return None, "vLLM is not installed"
    path = bundle or _random(catalog, folder)
    file = folder / "race.json"
    command = [sys.executable, "-m", "eval.benchmarks.vllm", str(path), "--json", str(file)]
    command += ["--users", str(USERS), "--batch", str(BATCH), "--rounds", str(ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    figures = json.loads(file.read_text(encoding="utf-8"))["figures"]
    return figures["vllm_over_beam_search_rps"], ""


def _random(catalog: Catalog, folder: Path) -> Path:
    """A random model, and random users whose histories the race reads."""
    rng = np.random.default_rng(0)
    splits = [Split.TRAIN] * 5 + [Split.VALID, Split.TEST]
    rows = [
        (f"u{user}", int(item), time, split.value)
        for user in range(USERS)
        for time, (item, split) in enumerate(
            zip(rng.choice(len(catalog), len(splits), replace=False), splits, strict=True)
        )
    ]
    schema = {
        "user": pl.String(),
        "item": pl.UInt32(),
        "time": pl.Int64(),
        "split": pl.Enum([split.value for split in Split]),
    }
    dataset = Dataset(catalog, pl.DataFrame(rows, schema, orient="row"), {"name": "random"})
    data, path = folder / "race-data", folder / "race-bundle"
    data.mkdir()
    dataset.save(data)
    made = random_bundle(catalog, "title")
    origin = {"fingerprint": dataset.fingerprint, "recipe": {"data": {"prepared": str(data)}}}
    manifest = made.manifest.model_copy(update=origin)
    model = tiny_model(len(made.tokenizer), head_dim=HEAD)
    replace(made, manifest=manifest, model=model).save(path)
    return path

"""Training on attacked data and asking the models: what the parts of the benchmark share."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.attack_profiles import Positions
from eval.intervals import Interval, mean_intervals
from eval.lists import RankedLists
from eval.ranking import rank_baseline, rank_recommender
from eval.significance import compare
from rec_gen.counts import MarkovKNN
from rec_gen.data.dataset import MANIFEST, Dataset, Example
from rec_gen.errors import RecGenError
from rec_gen.files import new_folder
from rec_gen.metrics import Floats, ndcg

RECIPE = "quickstart"
SETTINGS: Mapping[str, object] = {
    "train.warmup_steps": 20,
    "validation.users": 300,
    "validation.patience": 99,
}
K = 10
MEASURES = ("exposure@10", "NDCG@10")


def train(
    dataset: Dataset, folder: Path, steps: int, seed: int, settings: Mapping[str, object]
) -> Path:
    """Train a small model on a data set in a process of its own, unless the folder holds it.

    Returns:
        The bundle's folder.

    Raises:
        RecGenError: The training failed.
    """
    data = folder / "data"
    if not (data / MANIFEST).is_file():
        with new_folder(data) as partial:
            dataset.save(partial)
    elif Dataset.load(data).fingerprint != dataset.fingerprint:
        raise RecGenError(f"{folder}: holds a run on other data: choose another --out")
    given = {
        **SETTINGS,
        "seed": seed,
        "train.max_steps": steps,
        "validation.every_steps": max(1, steps // 2),
        **settings,
    }
    command = [sys.executable, "-m", "rec_gen", "train", RECIPE, "--data", str(data)]
    options = [part for key, value in given.items() for part in ("--set", f"{key}={value}")]
    ends = ["--out", str(folder / "run"), "--max-minutes", "600"]
    if subprocess.run([*command, *options, *ends], check=False).returncode:
        raise RecGenError(f"{folder}: the training failed; its message stands above")
    return folder / "run" / "bundle"


def rank_bundle(bundle: Path, examples: Sequence[Example]) -> RankedLists:
    """The lists of a bundle for some examples, without items of the history."""
    from rec_gen.recommender import Recommender

    recommender = Recommender.load(bundle, device="cpu")
    catalog = recommender.bundle.catalog
    return rank_recommender(recommender, catalog, examples, exclude_seen=True, k=K)


def rank_counted(dataset: Dataset, examples: Sequence[Example]) -> RankedLists:
    """The lists of Markov + KNN, counted on a data set."""
    return rank_baseline(MarkovKNN().fit(dataset), dataset.catalog, examples, True, K)


def exposure(lists: RankedLists, targets: Positions) -> Floats:
    """float64 [n], the share of the targets that each user's first ten items hold."""
    listed = lists.items[:, :K, None] == targets
    return np.asarray(listed.any(axis=1).mean(axis=1))


def measure(lists: RankedLists, targets: Positions) -> Floats:
    """float64 [n, 2], each example's values of `MEASURES`."""
    return np.stack([exposure(lists, targets), ndcg(lists.ranks, K)], axis=1)


def measured(values: Floats, users: Sequence[str], seed: int) -> dict[str, dict[str, float]]:
    """The mean of each of `MEASURES` with its interval over users, JSON-ready."""
    found = mean_intervals(values, users, seed)
    return {name: _ready(each) for name, each in zip(MEASURES, found, strict=True)}


def differences(
    values: Mapping[str, Floats], reference: str, users: Sequence[str], seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """What each row has more than the reference in each of `MEASURES`, paired by user."""
    found = compare(dict(values), reference, users, seed)
    return {
        row: {
            f"change of {name}": _ready(each) | {"p_holm": round(each.p_holm, 4)}
            for name, each in zip(MEASURES, changes, strict=True)
        }
        for row, changes in found.items()
    }


def _ready(interval: Interval) -> dict[str, float]:
    return {name: round(float(getattr(interval, name)), 5) for name in ("mean", "low", "high")}

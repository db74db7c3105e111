"""What differential privacy costs, and what leaks without: `python -m eval.benchmarks.privacy`.

A base model learns from public interactions (ml-latest-small, joined by title). Members of
MovieLens-100K and users that were made up, the canaries, are then learnt by all weights and by an
adapter without noise, and by an adapter within a budget of epsilon 8 and 1, each in a process of
`recgen train`. What do the members gain, do the canaries show, and can members be told from
users that no training read?
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from eval.background import Background
from eval.benchmarks.privacy_data import Scene, draw_canaries, load, set_scene
from eval.intervals import Interval, mean_intervals
from eval.leakage import attack, exposure, read_users
from eval.lists import RankedLists
from eval.measures import K, comparisons, metric_intervals, metric_values
from eval.ranking import rank_baselines, rank_recommender
from eval.significance import Comparison
from rec_gen.bundle import MODEL, TOKENIZER, Bundle
from rec_gen.cli.common import Command
from rec_gen.data.dataset import Split
from rec_gen.errors import RecGenError
from rec_gen.files import new_folder, write_text
from rec_gen.recommender import Recommender
from rec_gen.versions import machine

PRIVATE, PUBLIC = "movielens-100k", "ml-latest-small"
HELD_OUT, SEED = 243, 0
LENGTH, COPIES = 20, {1: 16, 4: 8}
"""Items of a canary, and by the number of copies how many canaries there are."""
BASE, ADAPTER = "base alone", "adapter, no DP"
METRICS = ("ndcg@10", "recall@10")
PROMPT = """
[prompt]
template = "sequence"
max_history = 50
max_tokens = 64
"""
FROM_SCRATCH = """
name = "base"
[model]
scratch = { hidden_size = 128, intermediate_size = 256, num_hidden_layers = 2, num_attention_heads = 4, num_key_value_heads = 4, head_dim = 32 }
[train]
max_steps = 400
batch_size = 64
learning_rate = 3e-3
warmup_steps = 50
weight_decay = 0.1
dropout = 0.1
[validation]
every_steps = 100
"""  # noqa: E501
FINE_TUNED = """
name = "private"
[train]
schedule = "constant_with_warmup"
learning_rate = 3e-3
[validation]
patience = 10
"""
_LORA = {"model.adapter": "'lora'", "model.rank": 8, "model.alpha": 16, "model.dropout": 0.0}
_NOISELESS = {"train.max_steps": 200, "train.batch_size": 64, "validation.every_steps": 50}
_NOISY = {
    "train.max_steps": 50,
    "train.batch_size": 256,
    "train.learning_rate": 6e-3,
    "validation.every_steps": 50,
}
"""Few large steps, since each costs budget; as many users are read in all as without noise."""
SYSTEMS: dict[str, dict[str, Any]] = {
    "all weights, no DP": {**_NOISELESS, "train.learning_rate": 1e-3},
    ADAPTER: {**_LORA, **_NOISELESS},
    "adapter, epsilon 8": {**_LORA, **_NOISY, "privacy.epsilon": 8.0},
    "adapter, epsilon 1": {**_LORA, **_NOISY, "privacy.epsilon": 1.0},
}
"""What is trained on the private data, by the overrides of its recipe."""


@dataclass(frozen=True)
class Row:
    """What one system scores.

    Attributes:
        privacy: What its bundle says of its budget; None without one.
        metrics: Of the ranking of the members' held-out items, by name.
        exposure: In bits an item, by the number of a canary's copies; None for what is counted.
        attacks: AUC, and the share of members that is found at 1 % false alarms, by attack.
    """

    privacy: dict[str, Any] | None
    metrics: dict[str, Interval]
    exposure: dict[int, Interval] | None = None
    attacks: dict[str, dict[str, Interval]] | None = None


def train(folder: Path, recipe: str, data: Path, overrides: Mapping[str, Any]) -> Bundle:
    """Train in a process of its own, or go on where an earlier one stopped.

    Raises:
        RecGenError: The training failed.
    """
    write_text(folder.with_suffix(".toml"), recipe + PROMPT + f'[data]\nprepared = "{data}"\n')
    options = [part for key, each in overrides.items() for part in ("--set", f"{key}={each}")]
    command = ["train", str(folder.with_suffix(".toml")), "--out", str(folder), *options]
    if subprocess.run([sys.executable, "-m", "rec_gen", *command], check=False).returncode:
        raise RecGenError(f"{folder.name}: the training failed; its message stands above")
    return Bundle.load(folder / "bundle")


def train_all(scene: Scene, out: Path) -> dict[str, Bundle]:
    """Train the base on public data, and the systems from it on the private data."""
    for name, dataset in (("public", scene.public), ("private", scene.private)):
        with new_folder(out / name) as folder:
            dataset.save(folder)
    bundles = {BASE: train(out / "base", FROM_SCRATCH, out / "public", {})}
    start = out / "start"
    for part in (MODEL, TOKENIZER):
        shutil.copytree(out / "base" / "bundle" / part, start, dirs_exist_ok=True)
    for name, overrides in SYSTEMS.items():
        place = out / name.replace(",", "").replace(" ", "-")
        settings = {"model.base": f"'{start}'", **overrides}
        bundles[name] = train(place, FINE_TUNED, out / "private", settings)
    return bundles


def measure(
    bundles: Mapping[str, Bundle], scene: Scene
) -> tuple[dict[str, Row], dict[str, dict[str, Comparison]]]:
    """Rank the members' test items, look for canaries, and attack, with a counted baseline.

    The second attack takes a user's loss under the base model off, which knows none of them.

    Returns:
        A row a system, and what the adapter without noise scores more than each other.
    """
    known = Background.of(scene.private, Split.TEST)
    catalog, examples = scene.private.catalog, known.examples
    lists: dict[str, RankedLists] = rank_baselines(["markov"], scene.private, examples, True, SEED)
    for name, bundle in bundles.items():
        model = Recommender(bundle)
        lists[name] = rank_recommender(model, catalog, examples, True, k=K, label=name)
    values = {name: metric_values(each, known).select(METRICS) for name, each in lists.items()}
    metrics = {name: metric_intervals(each, known.users, SEED) for name, each in values.items()}
    rows = {name: Row(None, each) for name, each in metrics.items()}
    usual = _losses(bundles[BASE], scene)
    for name, bundle in bundles.items():
        privacy = bundle.manifest.privacy
        rows[name] = Row(
            privacy.model_dump() if privacy else None,
            metrics[name],
            _exposures(bundle, scene),
            _attacks(_losses(bundle, scene), usual, scene),
        )
    return rows, comparisons(values, ADAPTER, known.users, SEED)


def _losses(bundle: Bundle, scene: Scene) -> tuple[list[float], list[float]]:
    """The mean loss of each member and of each other user."""
    groups = (scene.members, scene.others)
    read = [read_users(bundle, [sequence.items for sequence in group]) for group in groups]
    members, others = ([reading.loss for reading in each] for each in read)
    return members, others


def _exposures(bundle: Bundle, scene: Scene) -> dict[int, Interval]:
    found: dict[int, list[float]] = {}
    readings = read_users(bundle, [canary.items for canary in scene.canaries])
    for canary, reading in zip(scene.canaries, readings, strict=True):
        bits = exposure(reading, len(scene.private.catalog))
        found.setdefault(canary.copies, []).append(bits)
    return {
        copies: mean_intervals(np.array(bits)[:, None], list(map(str, range(len(bits)))), SEED)[0]
        for copies, bits in found.items()
    }


def _attacks(
    losses: tuple[list[float], list[float]], usual: tuple[list[float], list[float]], scene: Scene
) -> dict[str, dict[str, Interval]]:
    names = [[sequence.user for sequence in group] for group in (scene.members, scene.others)]
    members, others = map(np.array, losses)
    expected = [np.array(each) for each in usual]
    scores = {"loss": (-members, -others)}
    scores["calibrated loss"] = (expected[0] - members, expected[1] - others)
    found = {attacker: attack(*each, *names) for attacker, each in scores.items()}
    return {name: {"auc": each.auc, "found": each.found} for name, each in found.items()}


def print_rows(rows: Mapping[str, Row]) -> None:
    """Print the systems for people."""
    copies = sorted(next(row.exposure for row in rows.values() if row.exposure))
    attacks = next(row.attacks for row in rows.values() if row.attacks)
    table = Table(
        "system", "epsilon", *METRICS,
        *(f"exposure x{times}" for times in copies),
        *(f"{name}: {what}" for name in attacks for what in ("AUC", "TPR at 1 % FPR")),
    )  # fmt: skip
    for name, row in rows.items():
        spent = f"{row.privacy['epsilon']:.2f}" if row.privacy else "-"
        cells: Sequence[Interval] = [
            *(row.metrics[metric] for metric in METRICS),
            *((row.exposure or {}).get(times, _NOTHING) for times in copies),
            *(each for attacker in (row.attacks or {}).values() for each in attacker.values()),
        ]
        table.add_row(name, spent, *map(_cell, cells))
    Console(width=220).print(table)


_NOTHING = Interval(float("nan"), float("nan"), float("nan"))


def _cell(each: Interval) -> str:
    return "" if np.isnan(each.mean) else f"{each.mean:.3f} ({each.low:.3f} to {each.high:.3f})"


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the runs here, to go on later.")
def main(json_path: Path | None, out: Path | None) -> None:
    """Train with and without differential privacy, and measure what is gained and what leaks."""
    private = load(PRIVATE)
    canaries = draw_canaries(len(private.catalog), LENGTH, COPIES, SEED)
    scene = set_scene(private, load(PUBLIC), HELD_OUT, canaries, SEED)
    with TemporaryDirectory() as temporary:
        rows, less = measure(train_all(scene, (out or Path(temporary)).absolute()), scene)
    print_rows(rows)
    if json_path:
        figures = {
            "systems": {name: asdict(row) for name, row in rows.items()},
            f"{ADAPTER}, less": {
                name: {metric: asdict(found) for metric, found in each.items()}
                for name, each in less.items()
            },
            "users": {"members": len(scene.members), "others": len(scene.others)},
            "seed": SEED,
            "fingerprints": {
                "private": scene.private.fingerprint, "public": scene.public.fingerprint
            },
        }  # fmt: skip
        write_text(json_path, json.dumps({"figures": figures} | machine(), indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Adapters trained by clients against one trained centrally: `python -m eval.benchmarks.federated`.

A small base is trained on the ratings of other people, and then an adapter and item tokens on
MovieLens-100K: by `recgen train` from all users at once, and by `recgen federate` from twenty
clients that keep their users. Every arm sees as many examples. The learning rates of both ways and
the step that each run keeps are those that rank best on the validation split; the test split is
read once.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from eval.intervals import Interval, mean_intervals
from eval.lists import RankedLists
from eval.ranking import rank_baselines, rank_recommender
from eval.significance import Comparison, compare
from rec_gen.cli.common import Command
from rec_gen.data.config import DataConfig
from rec_gen.data.dataset import Dataset, Example, Split
from rec_gen.data.prepare import load_dataset
from rec_gen.errors import RecGenError
from rec_gen.files import new_folder, write_text
from rec_gen.manifest import Manifest, read_manifest
from rec_gen.metrics import Floats, ndcg, recall
from rec_gen.versions import machine

BASE, RECIPE = "federated-base", "federated"
CENTRAL, COUNTED = "central", ("popularity", "markov")
CENTRAL_BATCH = 64
RATES = (3e-3, 1e-2)
"""The learning rates that the central arm and FedAvg are tried with."""
CLIENTS, BATCH, LOCAL_STEPS = 20, 16, 3
METRICS = ("ndcg@10", "recall@10")
SEED = 0
Settings = Mapping[str, object]

FEDAVG = "FedAvg"
ARMS: dict[str, Settings] = {
    "FedAvg, 20 % send garbage": {"federated.faults.garbage": 0.2},
    "clipped trimmed mean, 20 % send garbage": {
        "federated.faults.garbage": 0.2,
        "federated.clip": 1.0,
        "federated.trim": 0.2,
    },
    "FedAvg, 30 % drop out": {"federated.faults.drop_out": 0.3},
    "FedProx, mu 0.1": {"federated.strategy": "'fedprox'", "federated.mu": 0.1},
}
"""What is special about the federated arms beside plain FedAvg, whose learning rate they share."""


@dataclass(frozen=True)
class Arm:
    """What one way of training came to.

    Attributes:
        name: Which.
        rate: The learning rate; None for a counted baseline.
        validation: NDCG@10 on the validation split, by which its step was chosen.
        examples: Examples that all clients read together; None for a counted baseline.
        rounds: Rounds that were made.
        best_round: The round that is kept.
        sent: Bytes of messages to clients, over all rounds.
        received: Bytes of messages from them.
        test: NDCG@10 and recall@10 on the test split.
        less: What the arm scores less than the central one, in NDCG@10.
    """

    name: str
    rate: float | None
    validation: float | None
    examples: int | None
    rounds: int | None
    best_round: int | None
    sent: int | None
    received: int | None
    test: dict[str, Interval]
    less: Comparison | None


def make_base(folder: Path) -> Path:
    """Train the base, and put its model and its tokenizer into one folder."""
    bundle = train(folder, BASE, ("train", BASE), {})
    base = folder / "base"
    if not base.exists():
        with new_folder(base) as partial:
            for part in ("model", "tokenizer"):
                shutil.copytree(bundle / part, partial, dirs_exist_ok=True)
    return base


def train(folder: Path, name: str, command: tuple[str, ...], settings: Settings) -> Path:
    """Run a command of `recgen` in a process of its own, going on where an earlier one stopped.

    Returns:
        The bundle's folder.

    Raises:
        RecGenError: The command failed.
    """
    out = folder / "".join(c if c.isalnum() else "-" for c in name.lower())
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    whole = [sys.executable, "-m", "rec_gen", *command, "--out", str(out), *options]
    if subprocess.run(whole, check=False).returncode:
        raise RecGenError(f"{name}: the training failed; its message stands above")
    return out / "bundle"


def best_rate(
    folder: Path, name: str, command: tuple[str, ...], settings: Settings
) -> tuple[float, Path]:
    """Train with each rate; the one that ranks best on the validation split, and its bundle."""
    runs = {
        rate: train(folder, f"{name} {rate}", command, {**settings, "learning_rate": rate})
        for rate in RATES
    }
    best = max(runs, key=lambda rate: read_manifest(runs[rate]).metrics[METRICS[0]])
    return best, runs[best]


def settings_of(steps: int, clients: int, base: Path) -> tuple[Settings, Settings]:
    """What the central arm and the federated ones are told, so that all read as many examples.

    Args:
        steps: Central optimizer steps.
        clients: How many clients there are.
        base: The base model.
    """
    local = max(1, round(steps * CENTRAL_BATCH / (clients * BATCH)))
    shared = {"model.base": base, "validation.patience": 100}
    central = {
        "train.max_steps": steps,
        "train.warmup_steps": steps // 12,
        "validation.every_steps": max(1, steps // 6),
    }
    federated = {
        "train.max_steps": local,
        "train.batch_size": BATCH,
        "train.warmup_steps": local // 12,
        "validation.every_steps": max(1, local // 6),
        "federated.clients": clients,
        "federated.local_steps": min(LOCAL_STEPS, local),
    }
    return {**shared, **central}, {**shared, **federated}


def rank(bundle: Path, dataset: Dataset, held: list[Example], name: str) -> RankedLists:
    """The test ranking of one bundle, its model freed afterwards."""
    from rec_gen.recommender import Recommender

    return rank_recommender(
        Recommender.load(bundle), dataset.catalog, held, exclude_seen=True, label=name
    )


def compared(
    lists: Mapping[str, RankedLists], manifests: Mapping[str, Manifest], held: list[Example]
) -> list[Arm]:
    """Intervals of every arm, and each against the central one."""
    users = [example.user for example in held]
    cells: dict[str, Floats] = {
        name: np.stack([ndcg(each.ranks, 10), recall(each.ranks, 10)], axis=1)
        for name, each in lists.items()
    }
    less = compare(cells, CENTRAL, users, SEED)
    arms = []
    for name, values in cells.items():
        test = dict(zip(METRICS, mean_intervals(values, users, SEED), strict=True))
        manifest = manifests.get(name)
        made = manifest.federation if manifest else None
        arms.append(
            Arm(
                name,
                manifest.recipe["train"]["learning_rate"] if manifest else None,
                manifest.metrics[METRICS[0]] if manifest else None,
                _examples(manifest) if manifest else None,
                made.rounds if made else None,
                made.best_round if made else None,
                made.sent if made else None,
                made.received if made else None,
                test,
                None if name == CENTRAL else less[name][0],
            )
        )
    return arms


def _examples(manifest: Manifest) -> int:
    """What all clients read, dropped ones too."""
    train, made = manifest.recipe["train"], manifest.federation
    if made is None:
        return int(train["max_steps"] * train["batch_size"])
    steps = min(train["max_steps"], made.rounds * made.settings["local_steps"])
    return int(steps * train["batch_size"] * made.clients)


def figures_of(arms: list[Arm]) -> dict[str, float]:
    """The numbers that the page speaks of."""
    figures: dict[str, float] = {}
    for arm in arms:
        figures[f"{arm.name}: ndcg10"] = round(arm.test[METRICS[0]].mean, 4)
        if arm.less is not None:
            figures[f"{arm.name}: ndcg10 against central"] = round(arm.less.mean, 4)
        if arm.sent is not None and arm.received is not None and arm.rounds:
            figures[f"{arm.name}: megabytes"] = round((arm.sent + arm.received) / 1e6, 1)
            figures[f"{arm.name}: megabytes a round"] = round(
                (arm.sent + arm.received) / arm.rounds / 1e6, 2
            )
    return figures


def show(arms: list[Arm]) -> Table:
    """The table for people."""
    table = Table(
        "arm", "rate", "validation NDCG@10", "test NDCG@10", "test recall@10", "against central",
        "p (Holm)", "best round", "sent", "received",
    )  # fmt: skip
    for arm in arms:
        less = arm.less
        table.add_row(
            arm.name,
            "" if arm.rate is None else f"{arm.rate:g}",
            "" if arm.validation is None else f"{arm.validation:.4f}",
            *(_interval(arm.test[name]) for name in METRICS),
            "" if less is None else _interval(less, "+.4f"),
            "" if less is None else f"{less.p_holm:.4f}",
            "" if arm.rounds is None else f"{arm.best_round} of {arm.rounds}",
            *("" if size is None else f"{size / 1e6:.0f} MB" for size in (arm.sent, arm.received)),
        )
    return table


def _interval(each: Interval, shape: str = ".4f") -> str:
    return f"{each.mean:{shape}} [{each.low:{shape}}, {each.high:{shape}}]"


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--steps", default=240, show_default=True, help="Steps of the central arm.")
@click.option("--clients", default=CLIENTS, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Keep the runs here, to go on later.")
def main(json_path: Path | None, steps: int, clients: int, out: Path | None) -> None:
    """Compare adapters that clients trained with one that was trained centrally."""
    dataset = load_dataset(DataConfig(source="movielens-100k"))
    held = list(dataset.examples(Split.TEST))
    with TemporaryDirectory() as temporary:
        folder = out or Path(temporary)
        central, federated = settings_of(steps, clients, make_base(folder))
        bundles = {CENTRAL: best_rate(folder, CENTRAL, ("train", RECIPE), central)[1]}
        rate, bundles[FEDAVG] = best_rate(folder, FEDAVG, ("federate", RECIPE), federated)
        for name, special in ARMS.items():
            settings = {**federated, **special, "learning_rate": rate}
            bundles[name] = train(folder, name, ("federate", RECIPE), settings)
        manifests = {name: read_manifest(bundle) for name, bundle in bundles.items()}
        lists = {name: rank(bundle, dataset, held, name) for name, bundle in bundles.items()}
    lists |= rank_baselines(COUNTED, dataset, held, exclude_seen=True, seed=SEED)
    arms = compared(lists, manifests, held)
    Console(width=200).print(show(arms))
    figures = figures_of(arms)
    click.echo(json.dumps(figures, indent=2))
    if json_path:
        record: dict[str, Any] = {
            "figures": figures,
            "compared": [asdict(arm) for arm in arms],
            "settings": {
                "clients": clients,
                "steps": steps,
                "seed": SEED,
                "data": dataset.name,
                "fingerprint": dataset.fingerprint,
            },
        }
        write_text(json_path, json.dumps(record | machine(), indent=2) + "\n")


if __name__ == "__main__":
    main()

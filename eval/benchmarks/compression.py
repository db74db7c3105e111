"""What a smaller model costs and wins: `python -m eval.benchmarks.compression BUNDLE --json FILE`.

A bundle is compressed in several ways by `recgen compress`: its weights in 16, 8 and 4 bits, a
quarter and half of its layers dropped, with and without healing, and the healed quarter with the
smallest weights that ranked no worse for certain. What would change nothing is left out. All rank
the same validation users beside the counted Markov + KNN, and then take turns in one process to
answer requests.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from eval.background import held_out
from eval.intervals import Interval, mean_intervals
from eval.ranking import rank_baseline, rank_recommender
from rec_gen.cli.common import Command, bundle_dataset
from rec_gen.counts import MarkovKNN
from rec_gen.data.dataset import Split
from rec_gen.errors import RecGenError
from rec_gen.files import write_text
from rec_gen.metrics import Floats, ndcg, recall
from rec_gen.models import weight_bytes
from rec_gen.notices import quiet
from rec_gen.recommender import Recommender
from rec_gen.versions import machine

ORIGINAL, MERGED = "original", "merged"
WEIGHTS = ("bfloat16", "int8", "nf4")
K, BATCH, ALONE, SEED = 10, 32, 4, 0
COUNT = click.IntRange(min=1)


@dataclass(frozen=True)
class Quality:
    """How a system ranks.

    Attributes:
        hr: HR@10.
        ndcg: NDCG@10.
        change: NDCG@10 less that of the bundle as it is, paired.
    """

    hr: Interval
    ndcg: Interval
    change: Interval


class Kitchen:
    """Makes the smaller models by `recgen compress`, each in a folder that is kept."""

    def __init__(self, bundle: Path, folder: Path, heal_steps: int) -> None:
        self._bundle, self._folder, self._heal_steps = bundle, folder, heal_steps
        self.bundles = {ORIGINAL: bundle}

    def make(self, name: str, *options: str, of: str = ORIGINAL, heal: bool = False) -> None:
        """Compress one of the bundles in a process of its own.

        Raises:
            RecGenError: It failed.
        """
        command = [sys.executable, "-m", "rec_gen", "compress", str(self.bundles[of]), *options]
        command += ["--heal-steps", str(self._heal_steps)] if heal else []
        if subprocess.run([*command, "--out", str(self._folder / name)], check=False).returncode:
            raise RecGenError(f"{name}: the compression failed; its message stands above")
        self.bundles[name] = self._folder / name / "bundle"


class Jury:
    """Ranks the held-out items of a sample of validation users.

    Attributes:
        dataset: What the bundle was trained on.
        examples: The sample.
        exclude_seen: Whether items of a history are left out, as the recipe says.
    """

    def __init__(self, recommender: Recommender, users: int | None) -> None:
        manifest = recommender.bundle.manifest
        self.dataset = bundle_dataset(recommender.bundle)
        self.exclude_seen = bool(manifest.recipe["validation"]["exclude_seen"])
        examples = held_out(self.dataset, Split.VALID)
        count = min(users or len(examples), len(examples))
        chosen = np.random.default_rng(SEED).choice(len(examples), count, replace=False)
        self.examples = [examples[row] for row in np.sort(chosen)]
        self._first: Floats | None = None

    def judge(self, system: Recommender | MarkovKNN, name: str) -> Quality:
        """Rank; the first that is judged is what the others are compared with."""
        if isinstance(system, MarkovKNN):
            ranks = rank_baseline(
                system, self.dataset.catalog, self.examples, self.exclude_seen
            ).ranks
        else:
            ranks = rank_recommender(
                system, self.dataset.catalog, self.examples, self.exclude_seen, K, name
            ).ranks
        found = ndcg(ranks, K)
        self._first = found if self._first is None else self._first
        columns = np.stack([recall(ranks, K), found, found - self._first], axis=1)
        users = [example.user for example in self.examples]
        return Quality(*mean_intervals(columns, users, SEED))

    def requests(self, count: int) -> list[list[str]]:
        """The histories of the first examples, as often as it takes."""
        ids = self.dataset.catalog.ids
        chosen = [self.examples[row % len(self.examples)] for row in range(count)]
        return [[ids[place] for place in example.history] for example in chosen]


def race(contestants: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The median milliseconds of each contestant; they take turns, after a first one each."""
    turns: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if turn:
                turns[name].append(1000 * (time.perf_counter() - start))
    return {name: median(times) for name, times in turns.items()}


def speeds(
    recommenders: dict[str, Recommender], jury: Jury, rounds: int
) -> dict[str, tuple[float, float]]:
    """Milliseconds a request of each model: alone, and in a batch of 32."""

    def asks(recommender: Recommender, *batches: Sequence[list[str]]) -> Callable[[], None]:
        def ask() -> None:
            for histories in batches:
                recommender.recommend(
                    histories, K, exclude_seen=jury.exclude_seen, batch_size=BATCH
                )

        return ask

    each = [[history] for history in jury.requests(ALONE)]
    whole = jury.requests(BATCH)
    single = race({name: asks(known, *each) for name, known in recommenders.items()}, rounds)
    batch = race({name: asks(known, whole) for name, known in recommenders.items()}, rounds)
    return {name: (single[name] / ALONE, batch[name] / BATCH) for name in recommenders}


def smallest(recommenders: dict[str, Recommender], found: dict[str, Quality]) -> str | None:
    """The kind of weights that takes least memory and was not shown to rank worse, if any."""
    fair = [name for name in WEIGHTS if name in found and found[name].change.high >= 0]
    return min(fair, key=lambda name: weight_bytes(recommenders[name].bundle.model), default=None)


def disk_bytes(bundle: Path) -> int:
    """The bytes of a bundle's own weights; of an adapter, without its base."""
    parts = ("model", "adapter")
    return sum(file.stat().st_size for part in parts for file in bundle.glob(f"{part}/*.safe*"))


@click.command(cls=Command)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option(
    "--users", type=COUNT, help="Rank a sample of so many validation users; default: all."
)
@click.option(
    "--heal-steps", type=COUNT, default=100, show_default=True, help="Steps of each healing."
)
@click.option("--rounds", type=COUNT, default=5, show_default=True, help="Turns of each model.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the models, to go on later.")
def main(
    bundle: Path,
    json_path: Path | None,
    users: int | None,
    heal_steps: int,
    rounds: int,
    out: Path | None,
) -> None:
    """Compress a BUNDLE in several ways and measure each."""
    quiet()
    with TemporaryDirectory() as temporary:
        kitchen = Kitchen(bundle, out or Path(temporary), heal_steps)
        recommenders = {ORIGINAL: Recommender.load(bundle)}
        original = recommenders[ORIGINAL].bundle
        jury = Jury(recommenders[ORIGINAL], users)
        found = {ORIGINAL: jury.judge(recommenders[ORIGINAL], ORIGINAL)}

        def add(name: str, *options: str, of: str = ORIGINAL, heal: bool = False) -> None:
            kitchen.make(name, *options, of=of, heal=heal)
            recommenders[name] = Recommender.load(kitchen.bundles[name])
            found[name] = jury.judge(recommenders[name], name)

        if original.manifest.base is not None:
            add(MERGED)
        for weights in WEIGHTS:
            if weights != "bfloat16" or original.manifest.dtype == "float32":
                add(weights, "--weights", weights)
        depth = original.model.config.num_hidden_layers
        counts = sorted({max(1, depth // 4), max(1, depth // 2)} - {depth})
        for count in counts:
            add(f"drop_{count}", "--drop-layers", str(count))
            add(f"drop_{count}_healed", "--drop-layers", str(count), heal=True)
        best = smallest(recommenders, found)
        if counts and best:
            healed = f"drop_{counts[0]}_healed"
            add(f"{healed}_{best}", "--weights", best, of=healed)
        taken = speeds(recommenders, jury, rounds)
        sizes = {
            name: (disk_bytes(kitchen.bundles[name]), weight_bytes(each.bundle.model))
            for name, each in recommenders.items()
        }
    counted = MarkovKNN().fit(jury.dataset)
    found[counted.name] = jury.judge(counted, counted.name)
    rows = {name: _row(found[name], sizes.get(name), taken.get(name)) for name in found}
    _print(rows)
    if json_path:
        manifest = original.manifest
        report = {
            "figures": {
                f"{name}_{key}".replace(" + ", "_").lower(): value
                for name, row in rows.items()
                for key, value in row.items()
                if not isinstance(value, list)
            },
            "variants": rows,
            "bundle": {"name": manifest.name, "digest": manifest.digest, "seed": manifest.seed},
            "layers": depth,
            "heal_steps": heal_steps,
            "users": len(jury.examples),
            "rounds": rounds,
            "seed": SEED,
            "threads": torch.get_num_threads(),
            "data": jury.dataset.fingerprint,
        }
        write_text(json_path, json.dumps(report | machine(), indent=2) + "\n")


def _row(
    quality: Quality, size: tuple[int, int] | None, taken: tuple[float, float] | None
) -> dict[str, float | list[float]]:
    row: dict[str, float | list[float]] = {}
    if size:
        row |= {"disk_mb": round(size[0] / 1e6, 2), "memory_mb": round(size[1] / 1e6, 2)}
    for name in ("hr", "ndcg", "change"):
        interval: Interval = getattr(quality, name)
        row[f"{name}10"] = round(interval.mean, 4)
        row[f"{name}10_interval"] = [round(interval.low, 4), round(interval.high, 4)]
    if taken:
        row |= {"alone_ms": round(taken[0], 2), "batch_ms": round(taken[1], 2)}
    return row


def _print(rows: dict[str, dict[str, float | list[float]]]) -> None:
    columns = list(rows[ORIGINAL])
    table = Table("model", *columns)
    for name, row in rows.items():
        table.add_row(name, *(str(row.get(column, "")) for column in columns))
    Console(width=200).print(table)


if __name__ == "__main__":
    main()

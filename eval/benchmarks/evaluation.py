"""What an evaluation takes and finds: `python -m eval.benchmarks.evaluation --json FILE`.

All users of MovieLens-1M, a model, the counted baselines and ALS, with slices, intervals, JSON and
Parquet. Without a bundle a tiny model of random weights stands in, so the seconds are those of the
evaluation itself and the metrics mean nothing. The peak is that of the resident set of the whole
process, libraries, data and model included.
"""

import resource
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table

from eval.baselines import COUNTED, parse_baselines
from eval.evaluate import evaluate
from eval.result_json import to_json
from rec_gen.cli.common import bundle_dataset, data_config
from rec_gen.data.dataset import Dataset, Split
from rec_gen.data.prepare import load_dataset
from rec_gen.files import write_text
from rec_gen.notices import quiet
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from rec_gen.versions import machine

KEPT = ("recall@10", "ndcg@10")


def stand_in(dataset: Dataset) -> Recommender:
    """A tiny model of random weights that says it was trained on a data set."""
    bundle = random_bundle(dataset.catalog, "item")
    known = bundle.manifest.model_copy(update={"fingerprint": dataset.fingerprint})
    return Recommender(replace(bundle, manifest=known))


def peak_gb() -> float:
    """The largest resident set of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Evaluate it on its own data.")
@click.option("--data", default="movielens-1m", show_default=True, help="Without a bundle.")
@click.option("--baselines", default=",".join((*COUNTED, "als")), show_default=True)
def main(json_path: Path | None, bundle: Path | None, data: str, baselines: str) -> None:
    """Measure the time and the memory of one evaluation, and keep what it found."""
    quiet()
    if bundle is None:
        dataset = load_dataset(data_config(data, ()))
        recommender = stand_in(dataset)
    else:
        recommender = Recommender.load(bundle)
        dataset = bundle_dataset(recommender.bundle)
    loaded = peak_gb()
    columns = [column for column in ("genres",) if column in dataset.catalog.metadata]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = evaluate(
            recommender,
            dataset,
            Split.TEST,
            exclude_seen=True,
            seed=0,
            baselines=parse_baselines(baselines),
            columns=columns,
            bundle=recommender.bundle,
        )
        found.save(Path(folder) / "evaluation.json")
    figures = {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_gb": round(peak_gb(), 2),
        "loaded_gb": round(loaded, 2),
        "users": found.users,
        "examples": found.examples,
        "items": len(dataset.catalog),
        "systems": len(found.systems),
        "slices": len(found.slices),
    }
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    Console().print(table)
    if json_path:
        report = {
            "figures": figures,
            "data": dataset.name,
            "fingerprint": dataset.fingerprint,
            "model": "random weights" if bundle is None else recommender.bundle.manifest.name,
            "metrics": {
                system: {metric: asdict(metrics[metric]) for metric in KEPT}
                for system, metrics in found.systems.items()
            },
            "differences": {
                system: {metric: asdict(metrics[metric]) for metric in KEPT}
                for system, metrics in found.differences.items()
            },
            "threads": torch.get_num_threads(),
        }
        write_text(json_path, to_json(report | machine()))


if __name__ == "__main__":
    main()

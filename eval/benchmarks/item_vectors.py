"""Which vectors of items pay for semantic IDs: `python -m eval.benchmarks.item_vectors`.

Titles and descriptions are encoded once and kept as columns of vectors. Weights are chosen on the
validation split without training; then a small model is trained for each choice of sources.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from eval.baselines import Baseline, Popularity
from eval.benchmarks.small_models import train_semantic
from eval.intervals import Interval, mean_intervals
from eval.item_weights import Weighing, choose_weights
from eval.ranking import rank_baseline, rank_recommender
from eval.report import format_interval
from eval.result_json import to_json
from eval.significance import compare
from rec_gen.catalog import Catalog
from rec_gen.cli.common import Command, data_config
from rec_gen.counts import MarkovKNN
from rec_gen.data.dataset import Dataset, Split
from rec_gen.data.prepare import load_dataset
from rec_gen.files import new_folder, write_text
from rec_gen.item_columns import text_vectors
from rec_gen.metrics import Floats, Ranks, ndcg, recall
from rec_gen.notices import quiet
from rec_gen.recommender import Recommender
from rec_gen.semantic_ids import ItemVectorConfig, source_vectors
from rec_gen.versions import machine

DATA = "data"
TITLE, MORE, SAME = "vectors:title_vector", "vectors:text_vector", "cooccurrence"
ARMS = {
    "title": (TITLE,),
    "title, co-occurrence": (TITLE, SAME),
    "title, co-occurrence, text": (TITLE, SAME, MORE),
}
CHOSEN = "the same, chosen weights"
REFERENCE = "title"
MEASURES = ("recall@10", "ndcg@10")


def with_vectors(dataset: Dataset, columns: Sequence[str]) -> Dataset:
    """The data set with two more columns of its catalog: vectors of titles and of other texts."""
    catalog = dataset.catalog
    vectors = {
        "title_vector": text_vectors(catalog.titles),
        "text_vector": text_vectors(catalog.texts(columns)),
    }
    added = [pl.Series(name, each).arr.to_list() for name, each in vectors.items()]
    manifest = {**dataset.manifest, "name": f"{dataset.name}-vectors"}
    return Dataset(Catalog(catalog.frame.with_columns(added)), dataset.frame, manifest)


def weigh(dataset: Dataset, seed: int) -> Weighing:
    """The weights of the richest arm."""
    histories = [sequence.items for sequence in dataset.sequences()]
    sources = list(ARMS.values())[-1]
    config = ItemVectorConfig(sources=sources)
    parts = {
        source: source_vectors(source, dataset.catalog, histories, config, seed)
        for source in sources
    }
    return choose_weights(parts, list(dataset.examples(Split.VALID)), seed)


def values_of(ranks: Ranks) -> Floats:
    """The measures of each example, float64 [n, 2], see `MEASURES`."""
    return np.stack([recall(ranks, 10), ndcg(ranks, 10)], axis=1)


def measure(dataset: Dataset, bundles: Mapping[str, Path], seed: int) -> dict[str, Any]:
    """What counted baselines and the models score on the test split."""
    catalog, examples = dataset.catalog, list(dataset.examples(Split.TEST))
    users = [example.user for example in examples]
    values: dict[str, Floats] = {}
    counted: tuple[Baseline, ...] = (Popularity(), MarkovKNN())
    for each in counted:
        ranked = rank_baseline(each.fit(dataset), catalog, examples, False)
        values[each.name] = values_of(ranked.ranks)
    codes = {}
    for name, bundle in bundles.items():
        recommender = Recommender.load(bundle)
        codes[name] = recommender.bundle.manifest.semantic_ids
        values[name] = values_of(rank_recommender(recommender, catalog, examples, False).ranks)
    differences = compare(values, REFERENCE, users, seed)
    return {
        "examples": len(examples),
        "users": len(set(users)),
        "systems": {
            name: dict(zip(MEASURES, map(asdict, mean_intervals(each, users, seed)), strict=True))
            for name, each in values.items()
        },
        f"less {REFERENCE}": {
            name: dict(zip(MEASURES, map(asdict, each), strict=True))
            for name, each in differences.items()
        },
        "collisions": {name: each.collisions for name, each in codes.items() if each},
    }


def print_figures(figures: Mapping[str, Any]) -> None:
    """Print the figures for people."""
    size = f"{figures['examples']:,} examples of {figures['users']:,} users"
    table = Table("", *MEASURES, "ndcg@10 less " + REFERENCE, "collisions", title=size)
    for name, row in figures["systems"].items():
        less = figures[f"less {REFERENCE}"].get(name)
        cells = [format_interval(Interval(**row[each])) for each in MEASURES]
        cells.append(format_interval(_interval(less["ndcg@10"]), signed=True) if less else "")
        collisions = figures["collisions"].get(name)
        table.add_row(name, *cells, "" if collisions is None else f"{collisions:.1%}")
    console = Console(width=140)
    console.print(table)
    console.print(figures["weights"], highlight=False)


def _interval(row: Mapping[str, float]) -> Interval:
    return Interval(row["mean"], row["low"], row["high"])


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--data", default="minionerec-industrial", show_default=True)
@click.option("--column", "columns", multiple=True, default=["title", "brand", "description"],
              show_default=True, help="Columns of the other text.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, help="Override a key of the recipe.",
              default=["train.max_steps=120", "validation.every_steps=60"])  # fmt: skip
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Keep the runs here, to go on later.")
def main(
    json_path: Path | None,
    data: str,
    columns: Sequence[str],
    overrides: Sequence[str],
    seed: int,
    out: Path | None,
) -> None:
    """Train small models over different vectors of the same items."""
    quiet()
    with TemporaryDirectory() as temporary:
        folder = out or Path(temporary)
        if not (folder / DATA).is_dir():
            with new_folder(folder / DATA) as partial:
                with_vectors(load_dataset(data_config(data, ())), columns).save(partial)
        dataset = Dataset.load(folder / DATA)
        weighing = weigh(dataset, seed)
        arms = {name: (sources, dict[str, float]()) for name, sources in ARMS.items()}
        arms[CHOSEN] = (list(ARMS.values())[-1], weighing.weights)
        bundles = {
            name: train_semantic(
                folder / f"arm-{row}",
                folder / DATA,
                [
                    f"spelling.sources={json.dumps(sources)}",
                    *(f"spelling.weights.{source}={each}" for source, each in weights.items()),
                    *overrides,
                ],
            )
            for row, (name, (sources, weights)) in enumerate(arms.items())
        }
        figures = measure(dataset, bundles, seed)
    figures["weights"] = {
        "chosen": weighing.weights,
        "validation ndcg@10 of the vectors": weighing.ndcg,
        "the same with equal weights": weighing.equal,
    }
    print_figures(figures)
    if json_path:
        run = {"data": data, "seed": seed, "overrides": list(overrides)}
        record = {"figures": figures, "tried": weighing.tried, **run}
        record["fingerprint"] = dataset.fingerprint
        write_text(json_path, to_json(record | machine()))


if __name__ == "__main__":
    main()

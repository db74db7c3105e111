"""What vectors of items tell of the next one: `python -m eval.benchmarks.item_vectors`.

Titles, and titles with all other text, are encoded once and kept as columns of vectors. Weights are
chosen on the validation split; on the test split the vectors themselves are asked for the next
item, their codes for what they tell of it, and small models that were trained on these codes.
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
from eval.benchmarks.semantic_ids import popularity_of, usefulness
from eval.benchmarks.small_models import SHORT, kept, train_semantic
from eval.intervals import Interval, mean_intervals
from eval.item_weights import Weighing, Weights, choose_weights, joined_scores
from eval.ranking import rank_baseline, rank_recommender
from eval.report import format_interval
from eval.result_json import to_json
from eval.significance import compare
from rec_gen.catalog import Catalog
from rec_gen.cli.common import Command, data_config
from rec_gen.code_statistics import code_statistics
from rec_gen.counts import MarkovKNN
from rec_gen.data.dataset import Dataset, Split
from rec_gen.data.prepare import load_dataset
from rec_gen.files import write_text
from rec_gen.item_columns import text_vectors
from rec_gen.metrics import Floats, Ranks, ndcg, recall
from rec_gen.notices import quiet
from rec_gen.quantization import residual_kmeans
from rec_gen.recommender import Recommender
from rec_gen.semantic_ids import ItemVectorConfig, Vectors, join, source_vectors
from rec_gen.versions import machine

TITLE, MORE, SAME = "vectors:title_vector", "vectors:text_vector", "cooccurrence"
ARMS = {
    "title": (TITLE,),
    "title, co-occurrence": (TITLE, SAME),
    "title, co-occurrence, all text": (TITLE, SAME, MORE),
}
CHOSEN = "the same, chosen weights"
REFERENCE = "title, co-occurrence"
MEASURES = ("recall@10", "ndcg@10")
LEVELS = 3


def with_vectors(dataset: Dataset, columns: Sequence[str]) -> Dataset:
    """The data set with two more columns of its catalog: vectors of titles and of other texts."""
    catalog = dataset.catalog
    vectors = {
        "title_vector": text_vectors(catalog.titles),
        "text_vector": text_vectors(catalog.texts(columns)),
    }
    added = [pl.Series(name, each).arr.to_list() for name, each in vectors.items()]
    return Dataset(Catalog(catalog.frame.with_columns(added)), dataset.frame, dataset.manifest)


def parts_of(dataset: Dataset, seed: int) -> dict[str, Vectors]:
    """The vectors of each source, float32 [items, dimensions]."""
    histories = [sequence.items for sequence in dataset.sequences()]
    config = ItemVectorConfig(sources=(TITLE, SAME, MORE))
    return {
        source: source_vectors(source, dataset.catalog, histories, config, seed)
        for source in config.sources
    }


def weigh(dataset: Dataset, parts: Mapping[str, Vectors], seed: int) -> Weighing:
    """The weights of all sources."""
    return choose_weights(parts, list(dataset.examples(Split.VALID)), seed)


def values_of(ranks: Ranks) -> Floats:
    """The measures of each example, float64 [n, 2], see `MEASURES`."""
    return np.stack([recall(ranks, 10), ndcg(ranks, 10)], axis=1)


def arms_of(chosen: Weights) -> dict[str, Weights]:
    """The weights of each arm's sources."""
    equal = {name: dict.fromkeys(sources, 1.0) for name, sources in ARMS.items()}
    return {**equal, CHOSEN: chosen}


def train_arms(
    dataset: Dataset, arms: Mapping[str, Weights], folder: Path, settings: Sequence[str]
) -> dict[str, Path]:
    """A model trained on the codes of each arm, as a bundle."""
    data = kept(dataset, folder)
    return {
        name: train_semantic(
            folder / name, data,
            [
                f"spelling.sources={json.dumps(list(weights))}",
                *(f"spelling.weights.{source}={weight}" for source, weight in weights.items()),
                *settings,
            ],
        )
        for name, weights in arms.items()
    }  # fmt: skip


def measure(
    dataset: Dataset,
    parts: Mapping[str, Vectors],
    arms: Mapping[str, Weights],
    bundles: Mapping[str, Path],
    codes: int,
    seed: int,
) -> dict[str, Any]:
    """What counted baselines, vectors, their codes and models of these tell on the test split."""
    examples = list(dataset.examples(Split.TEST))
    users = [example.user for example in examples]
    targets = np.array([example.target for example in examples], np.int64)
    sequences = [sequence.items for sequence in dataset.sequences()]
    counted: tuple[Baseline, ...] = (Popularity(), MarkovKNN())
    values = {
        each.name: values_of(
            rank_baseline(each.fit(dataset), dataset.catalog, examples, False).ranks
        )
        for each in counted
    }
    told: dict[str, dict[str, float]] = {}
    for name, weights in arms.items():
        scores = joined_scores(parts, weights, [example.history for example in examples])
        values[name] = values_of(Ranks.of_scores(scores, targets))
        joined = join([parts[source] for source in weights], list(weights.values()))
        found = residual_kmeans(joined, LEVELS, codes, seed)
        told[name] = {"collisions": code_statistics(found, codes, sequences).collisions}
        for depth in (1, 2):
            bits = usefulness(found, popularity_of(dataset), examples, depth)["bits"]
            told[name][f"bits_{depth}"] = bits
    models = {
        f"model, {name}": values_of(
            rank_recommender(Recommender.load(bundle), dataset.catalog, examples, False).ranks
        )
        for name, bundle in bundles.items()
    }
    differences = compare(values, REFERENCE, users, seed)
    if models:
        differences |= compare(models, f"model, {REFERENCE}", users, seed)
    return {
        "examples": len(examples),
        "users": len(set(users)),
        "systems": {
            name: dict(zip(MEASURES, map(asdict, mean_intervals(each, users, seed)), strict=True))
            for name, each in (values | models).items()
        },
        f"less {REFERENCE}": {
            name: dict(zip(MEASURES, map(asdict, each), strict=True))
            for name, each in differences.items()
        },
        "codes": told,
    }


def print_figures(figures: Mapping[str, Any]) -> None:
    """Print the figures for people."""
    size = f"{figures['examples']:,} examples of {figures['users']:,} users"
    columns = (*MEASURES, f"ndcg@10 less that of {REFERENCE}")
    table = Table("", *columns, "bits 1", "bits 2", "collisions", title=size)
    for name, row in figures["systems"].items():
        less = figures[f"less {REFERENCE}"].get(name)
        cells = [format_interval(Interval(**row[each])) for each in MEASURES]
        cells.append(format_interval(_interval(less["ndcg@10"]), signed=True) if less else "")
        if told := figures["codes"].get(name):
            cells += [f"{told['bits_1']:.3f}", f"{told['bits_2']:.3f}", f"{told['collisions']:.1%}"]
        table.add_row(name, *cells)
    console = Console(width=150)
    console.print(table)
    console.print(figures["weights"], highlight=False)


def _interval(row: Mapping[str, float]) -> Interval:
    return Interval(row["mean"], row["low"], row["high"])


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--data", default="minionerec-industrial", show_default=True)
@click.option("--column", "columns", multiple=True, default=["title", "brand", "description"],
              show_default=True, help="Columns of the longer text.")  # fmt: skip
@click.option("--codes", default=256, show_default=True, help="Codes a level.")
@click.option("--train/--no-train", default=True, show_default=True, help="Train the models too.")
@click.option("--set", "overrides", multiple=True, default=SHORT, show_default=True,
              help="Override a key of their recipe.")  # fmt: skip
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Keep the runs here, to go on later.")
def main(
    json_path: Path | None,
    data: str,
    columns: Sequence[str],
    codes: int,
    train: bool,
    overrides: Sequence[str],
    seed: int,
    out: Path | None,
) -> None:
    """Compare vectors of the same items, with equal and with chosen weights."""
    quiet()
    source = load_dataset(data_config(data, ()))
    dataset = with_vectors(source, columns)
    parts = parts_of(dataset, seed)
    weighing = weigh(dataset, parts, seed)
    arms = arms_of(weighing.weights)
    with TemporaryDirectory() as temporary:
        bundles = train_arms(dataset, arms, out or Path(temporary), overrides) if train else {}
        figures = measure(dataset, parts, arms, bundles, codes, seed)
    figures["weights"] = {
        "chosen": weighing.weights,
        "validation ndcg@10": weighing.ndcg,
        "with equal weights": weighing.equal,
    }
    print_figures(figures)
    if json_path:
        run = {"data": data, "fingerprint": source.fingerprint, "seed": seed}
        run |= {"overrides": list(overrides)} if train else {}
        record = {"figures": figures, "tried": weighing.tried, **run}
        write_text(json_path, to_json(record | machine()))


if __name__ == "__main__":
    main()

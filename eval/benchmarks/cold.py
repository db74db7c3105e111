"""New items of a semantic model against popularity and text: `python -m eval.benchmarks.cold`.

15 % of the items are held out of training altogether and added to the trained model afterwards.
Who finds those that users then chose, among all items and among the new ones alone?
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from eval.baselines import Baseline, Popularity
from eval.benchmarks.small_models import SHORT, kept, train_semantic
from eval.cold_items import ColdWorld
from eval.content import ContentSimilarity
from eval.intervals import Interval, mean_intervals
from eval.lists import RankedLists
from eval.ranking import Asked, Lister, rank_baseline, rank_recommender
from eval.report import format_interval
from eval.result_json import to_json
from eval.significance import compare
from rec_gen.cli.common import Command, data_config
from rec_gen.counts import Histories, MarkovKNN, Scores
from rec_gen.data.dataset import Dataset, Example, Split
from rec_gen.data.prepare import load_dataset
from rec_gen.errors import BundleError
from rec_gen.files import write_text
from rec_gen.item_columns import text_vectors
from rec_gen.metrics import Floats, ndcg, recall
from rec_gen.notices import quiet
from rec_gen.recommender import Recommender
from rec_gen.semantic_ids import Vectors
from rec_gen.spelling import code_token
from rec_gen.versions import machine

SOURCES = {"text+cooccurrence": '["text", "cooccurrence"]', "text": '["text"]'}
RECENTS = (1, 2, 3, 5, 10)
MEASURES = ("recall@10", "recall@50", "recall@10 of new", "ndcg@10 of new")
LISTED = 50
REFERENCE = "content"


@dataclass(frozen=True)
class _New:
    """A system that may answer with new items alone."""

    name: str
    items: npt.NDArray[np.bool_]
    baseline: Baseline

    def fit(self, dataset: Dataset) -> Self:
        return self

    def score(self, histories: Histories) -> Scores:
        scores: Scores = np.where(self.items, self.baseline.score(histories), -np.inf)
        return scores


def values_of(everything: RankedLists, new: RankedLists) -> Floats:
    """The measures of each example, float64 [n, 4], see `MEASURES`.

    Args:
        everything: Ranks among all items.
        new: Ranks among the new items alone.
    """
    columns = (
        recall(everything.ranks, 10),
        recall(everything.ranks, LISTED),
        recall(new.ranks, 10),
        ndcg(new.ranks, 10),
    )
    return np.stack(columns, axis=1)


def baseline_values(baseline: Baseline, world: ColdWorld, examples: Sequence[Example]) -> Floats:
    """What a fitted baseline scores, see `values_of`."""
    catalog, only = world.whole.catalog, _New(baseline.name, world.cold, baseline)
    systems: tuple[Baseline, Baseline] = (baseline, only)
    ranked = (rank_baseline(each, catalog, examples, False, LISTED) for each in systems)
    return values_of(*ranked)


def model_values(recommender: Recommender, world: ColdWorld, examples: list[Example]) -> Floats:
    """What a model scores that knows the new items, see `values_of`."""
    catalog = world.whole.catalog
    ids = [item.id for item in world.items]
    listers: tuple[Lister, Lister] = (recommender, Asked(recommender, {"allow": ids}))
    ranked = (rank_recommender(each, catalog, examples, False, LISTED) for each in listers)
    return values_of(*ranked)


def random_codes(recommender: Recommender, items: Sequence[str], seed: int) -> dict[str, list[int]]:
    """Codes that say nothing, each of which the model has tokens for and no item has."""
    spelled = set(recommender.bundle.spellings.texts)
    encoder = recommender.bundle.encoder
    if encoder is None:
        raise BundleError("the bundle keeps no item encoder: train it again")
    levels, size, _ = encoder.centers.shape
    generator = np.random.default_rng(seed)
    found: dict[str, list[int]] = {}
    for item in items:
        row = generator.integers(0, size, (levels,)).tolist()
        while _text(row) in spelled:
            row = generator.integers(0, size, (levels,)).tolist()
        spelled.add(_text(row))
        found[item] = row
    return found


def _text(codes: Sequence[int]) -> str:
    return "".join(code_token(level, code) for level, code in enumerate(codes))


def best_recent(world: ColdWorld, vectors: Vectors) -> tuple[int, dict[int, float]]:
    """How many items of a history tell most of the new ones, on the validation split."""
    examples = world.examples(Split.VALID)
    found = {
        recent: float(
            baseline_values(ContentSimilarity(recent).over(vectors), world, examples)[:, 2].mean()
        )
        for recent in RECENTS
    }
    return max(found, key=lambda recent: found[recent]), found


def warm_change(bundle: Path, world: ColdWorld, seed: int) -> dict[str, Interval]:
    """NDCG@10 on held-out interactions with old items, before and after new ones came."""
    examples = list(world.warm.examples(Split.TEST))
    users = [example.user for example in examples]
    before, after = Recommender.load(bundle), Recommender.load(bundle)
    after.put_items(world.items)
    values = {
        name: ndcg(rank_recommender(each, world.whole.catalog, examples, False).ranks, 10)[:, None]
        for name, each in (("before", before), ("after", after))
    }
    found = {name: mean_intervals(each, users, seed)[0] for name, each in values.items()}
    return found | {"difference": compare(values, "before", users, seed)["after"][0]}


def milliseconds_to_add(bundle: Path, world: ColdWorld) -> float:
    """What it takes to add one item once the text encoder is loaded, the median of ten."""
    recommender, spent = Recommender.load(bundle), []
    for item in world.items[:11]:
        began = time.perf_counter()
        recommender.put_items([item])
        spent.append(1000 * (time.perf_counter() - began))
    return float(np.median(spent[1:]))


def measure(
    world: ColdWorld, bundles: Mapping[str, Path], columns: Sequence[str], seed: int
) -> dict[str, Any]:
    """All figures, of the test split but for what is chosen."""
    examples = world.examples(Split.TEST)
    users, ids = [example.user for example in examples], [item.id for item in world.items]
    vectors = text_vectors(world.whole.catalog.texts(columns))
    recent, chosen = best_recent(world, vectors)
    counted: list[Baseline] = [Popularity().fit(world.whole), MarkovKNN().fit(world.whole)]
    counted.append(ContentSimilarity(recent).over(vectors))
    values = {each.name: baseline_values(each, world, examples) for each in counted}
    for sources, bundle in bundles.items():
        recommender = Recommender.load(bundle)
        recommender.put_items(world.items)
        values[f"nearest codes, {sources}"] = model_values(recommender, world, examples)
    first = next(iter(bundles.values()))
    recommender = Recommender.load(first)
    recommender.put_items(world.items, codes=random_codes(recommender, ids, seed))
    values["random codes"] = model_values(recommender, world, examples)
    intervals = {name: mean_intervals(each, users, seed) for name, each in values.items()}
    differences = compare(values, REFERENCE, users, seed)
    return {
        "new items": len(ids),
        "examples": len(examples),
        "users": len(set(users)),
        "systems": {
            name: dict(zip(MEASURES, map(asdict, each), strict=True))
            for name, each in intervals.items()
        },
        f"less {REFERENCE}": {
            name: dict(zip(MEASURES, map(asdict, each), strict=True))
            for name, each in differences.items()
        },
        "recent": {"chosen": recent, "validation recall@10 of new": chosen},
        "old items": {name: asdict(each) for name, each in warm_change(first, world, seed).items()},
        "milliseconds to add an item": milliseconds_to_add(first, world),
    }


def print_figures(figures: Mapping[str, Any]) -> None:
    """Print the figures for people."""
    size = f"{figures['examples']:,} examples of {figures['users']:,} users"
    table = Table("", *MEASURES, title=f"{figures['new items']} new items: {size}")
    for name, row in figures["systems"].items():
        table.add_row(name, *(format_interval(Interval(**row[each])) for each in MEASURES))
    console = Console(width=140)
    console.print(table)
    for name, row in figures["old items"].items():
        ends = Interval(row["mean"], row["low"], row["high"])
        console.print(f"old items, NDCG@10, {name}: {format_interval(ends)}", highlight=False)
    console.print(f"ms to add an item: {figures['milliseconds to add an item']:.0f}")


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--data", default="minionerec-industrial", show_default=True)
@click.option("--column", "columns", multiple=True, default=["title", "brand", "description"],
              show_default=True, help="Columns of text for the content baseline.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, help="Override a key of the recipe.",
              default=SHORT)  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Draws the new items.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the runs here, to go on later.")
def main(
    json_path: Path | None,
    data: str,
    columns: Sequence[str],
    overrides: Sequence[str],
    seed: int,
    out: Path | None,
) -> None:
    """Add items to a trained model and see who finds them."""
    quiet()
    world = ColdWorld.of(load_dataset(data_config(data, ())), seed)
    with TemporaryDirectory() as temporary:
        folder = out or Path(temporary)
        data_folder = kept(world.warm, folder)
        bundles = {
            name: train_semantic(
                folder / name, data_folder, [f"spelling.sources={sources}", *overrides]
            )
            for name, sources in SOURCES.items()
        }
        figures = measure(world, bundles, columns, seed)
    print_figures(figures)
    if json_path:
        run = {"data": data, "seed": seed, "overrides": list(overrides)}
        record = {"figures": figures, **run, "fingerprint": world.source.fingerprint}
        write_text(json_path, to_json(record | machine()))


if __name__ == "__main__":
    main()

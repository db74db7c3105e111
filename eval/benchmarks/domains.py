"""What a source domain gives to a new one: `python -m eval.benchmarks.domains`.

The recipe `domains` learns films of MovieLens-1M. Beside them it learns a share of the users of
each target catalog, or none (zero-shot). Each target is also learnt alone, and counted. The test
split is read once with every system.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import polars as pl
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from eval.background import Background
from eval.baselines import BASELINES
from eval.benchmarks.domains_counts import TextNeighbours, carry, shared_places
from eval.intervals import Interval
from eval.leaks import check_leaks
from eval.measures import MEASURES, comparisons, metric_intervals
from eval.ranking import rank_baseline, rank_recommender
from eval.result_json import to_json
from eval.significance import Comparison
from rec_gen.bundle import Bundle
from rec_gen.cli.common import Command, bundle_dataset
from rec_gen.data.dataset import Split
from rec_gen.errors import RecGenError
from rec_gen.files import write_text
from rec_gen.item_columns import Vectors, text_vectors
from rec_gen.manifest import read_manifest
from rec_gen.notices import quiet
from rec_gen.recommender import Recommender
from rec_gen.versions import machine

RECIPE = "domains"
UNSEEN, LEARNT = "ml-latest-small", ("movielens-100k", "minionerec-industrial")
"""A target that is only asked zero-shot, and those that are learnt at each share."""
TEXT = {"movielens-100k": ["title", "genres"], "minionerec-industrial": ["title", "brand"]}
"""What says what an item is, where a target is alone: a column that it lacks is refused there."""
WEIGHTS = {0.0: 1, 0.01: 30, 0.1: 6, 1.0: 2}
"""By share, how often a target's row is learnt for once of the source's; set before any run."""
UNSEEN_STEPS, STEPS = 900, 300
"""Steps of the zero-shot run, and of each other one, with the source or without."""
ALONE = ("validation.every_steps=30", "validation.patience=4")
"""What a target alone is trained with: few sequences are soon learnt by heart."""
WITH, ALONE_ROW = "with the source", "the target alone"
SEED = 0
MEASURED = ("ndcg@10", "recall@10")


@dataclass(frozen=True)
class Cell:
    """What was found for a target at a share.

    Attributes:
        target: The catalog.
        share: The share of its users that was learnt.
        users: How many users these are.
        fingerprint: Of its data at this share.
        shared: How many of its items have a title that the source has too.
        systems: By system and measure, the mean on the test split.
        differences: By other system and measure, what the model with the source scores more.
        minutes: By model, what its training took.
    """

    target: str
    share: float
    users: int
    fingerprint: str
    shared: int
    systems: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Comparison]]
    minutes: dict[str, float | None]


def targets(share: float) -> tuple[str, ...]:
    """The catalogs that are asked at a share."""
    return LEARNT if share else (LEARNT[0], UNSEEN, LEARNT[1])


def settings(share: float, target: str | None, steps: int) -> list[str]:
    """What a run changes in the recipe; see `train`."""
    changed = [f"train.max_steps={steps}"]
    if target:
        text = f"spelling.text={TEXT[target]}"
        return [*changed, f"data.share={share}", "domains=[]", text, *ALONE]
    domains = ", ".join(
        f'{{name = "{name}", weight = {WEIGHTS[share]}, '
        f'data = {{source = "{name}", share = {share}}}}}'
        for name in targets(share)
    )
    return [*changed, f"domains=[{domains}]"]


def train(folder: Path, share: float, target: str | None, steps: int) -> Path:
    """Train in a process of its own, going on where an earlier one stopped.

    Args:
        folder: Where the runs are kept.
        share: The share of each target's users that is learnt.
        target: The catalog that is learnt alone; None learns all beside the source.
        steps: How long.

    Returns:
        The bundle's folder.

    Raises:
        RecGenError: The training failed.
    """
    out = folder / f"{target or 'all'}-{share:g}"
    command = [sys.executable, "-m", "rec_gen", "train", RECIPE, "--out", str(out)]
    command += ["--data", target] if target else []
    options = [part for each in settings(share, target, steps) for part in ("--set", each)]
    if subprocess.run([*command, *options], check=False).returncode:
        raise RecGenError(f"{out.name}: the training failed; its message stands above")
    return out / "bundle"


def train_all(
    folder: Path, shares: Sequence[float], unseen_steps: int, steps: int
) -> dict[tuple[str | None, float], Path]:
    """Train every run; by target (None for all) and share, the bundle's folder."""
    return {
        (target, share): train(folder, share, target, steps if share else unseen_steps)
        for share in shares
        for target in (None, *(targets(share) if share else ()))
    }


@cache
def encoded(texts: tuple[str, ...]) -> Vectors:
    """Sentence embeddings of a catalog's texts, the same at every share."""
    return text_vectors(texts)


def measure(
    target: str, share: float, every: Path, alone: Path | None, vectors: Vectors | None = None
) -> Cell:
    """Rank the target's test split by the models and by counting.

    Args:
        target: The catalog.
        share: The share of its users that was learnt.
        every: The bundle of all catalogs.
        alone: The bundle of the target alone, where something of it was learnt.
        vectors: float32 [items, dimensions], the texts of its items; None encodes them.
    """
    bundle = Bundle.load(every)
    part = bundle.domain(target)
    dataset = bundle_dataset(part)
    bundles = {WITH: part} | ({ALONE_ROW: Bundle.load(alone)} if alone else {})
    places = shared_places(bundle, part)
    counted = {"": dataset}
    if max(places) >= 0:
        counted[", source carried"] = carry(bundle_dataset(bundle), dataset, places)
    background = Background.of(dataset, Split.TEST, None)
    examples, catalog = background.examples, dataset.catalog
    lists = {}
    for name, each in bundles.items():
        check_leaks(dataset, each)
        lists[name] = rank_recommender(Recommender(each), catalog, examples, True, label=name)
    for note, known in counted.items():
        for key in ("popularity", "markov"):
            baseline = BASELINES[key]().fit(known)
            ranked = rank_baseline(baseline, catalog, examples, True, seed=SEED)
            if share or note:
                lists[baseline.name + note] = ranked
            elif key == "popularity":
                lists["chance"] = ranked  # of an empty count, where all items tie
    if vectors is None:
        columns = bundle.manifest.recipe["spelling"]["text"]
        told = [column for column in columns if column in catalog.frame.columns]
        vectors = encoded(tuple(catalog.texts(told)))
    near = TextNeighbours(vectors)
    lists[near.name] = rank_baseline(near, catalog, examples, True, seed=SEED)
    values = {
        name: pl.DataFrame({key: MEASURES[key](each, background) for key in MEASURED})
        for name, each in lists.items()
    }
    return Cell(
        target=target,
        share=share,
        users=sum(1 for _ in dataset.sequences()),
        fingerprint=dataset.fingerprint,
        shared=sum(place >= 0 for place in places),
        systems={
            name: metric_intervals(each, background.users, SEED) for name, each in values.items()
        },
        differences=comparisons(values, WITH, background.users, SEED),
        minutes={name: each.manifest.minutes for name, each in bundles.items()},
    )


def measured(folder: Path, target: str, share: float, every: Path, alone: Path | None) -> Cell:
    """What was found before, or else what is found now; see `measure`."""
    kept, kind = folder / "cells" / f"{target}-{share:g}.json", TypeAdapter(Cell)
    if kept.is_file():
        return kind.validate_json(kept.read_bytes())
    cell = measure(target, share, every, alone)
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_text(kept, kind.dump_json(cell, indent=1).decode())
    return cell


def figures(cells: Sequence[Cell]) -> dict[str, float]:
    """NDCG@10 by target, share and system, and the p-value against the target alone."""
    found = {}
    for cell in cells:
        for system, measures in cell.systems.items():
            found[f"{cell.target} {cell.share:g} {system}"] = measures["ndcg@10"].mean
        if ALONE_ROW in cell.differences:
            p = cell.differences[ALONE_ROW]["ndcg@10"].p_holm
            found[f"{cell.target} {cell.share:g} p"] = p
    return found


def _rows(cells: Sequence[Cell]) -> Iterator[tuple[str, ...]]:
    for cell in cells:
        for system, measures in cell.systems.items():
            told = [f"{m.mean:.4f} [{m.low:.4f}, {m.high:.4f}]" for m in measures.values()]
            less = cell.differences.get(system)
            more = "" if less is None else _difference(less["ndcg@10"])
            yield cell.target, f"{100 * cell.share:g} %", str(cell.users), system, *told, more


def _difference(less: Comparison) -> str:
    return f"{less.mean:+.4f} [{less.low:+.4f}, {less.high:+.4f}], p {less.p_holm:.4f}"


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option(
    "--share",
    "shares",
    multiple=True,
    type=click.Choice([f"{share:g}" for share in WEIGHTS]),
    default=[f"{share:g}" for share in WEIGHTS],
    show_default=True,
    help="Of the targets' users.",
)
@click.option("--unseen-steps", default=UNSEEN_STEPS, show_default=True, help="Of zero-shot.")
@click.option("--steps", default=STEPS, show_default=True, help="Steps of each other run.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the runs here, to go on later.")
def main(
    json_path: Path | None,
    shares: Sequence[str],
    unseen_steps: int,
    steps: int,
    out: Path | None,
) -> None:
    """Compare what is learnt of a target with and without a source domain."""
    quiet()
    with TemporaryDirectory() as temporary:
        chosen = [float(share) for share in shares]
        folder = out or Path(temporary)
        bundles = train_all(folder, chosen, unseen_steps, steps)
        source = read_manifest(bundles[None, chosen[0]]).fingerprint
        cells = [
            measured(folder, target, share, every, bundles.get((target, share)))
            for share, every in ((share, bundles[None, share]) for share in chosen)
            for target in targets(share)
        ]
    table = Table(
        "target", "share", "users", "system", "NDCG@10", "recall@10", f"NDCG@10 more {WITH}"
    )
    for row in _rows(cells):
        table.add_row(*row)
    Console(width=200).print(table)
    if json_path:
        run: Mapping[str, object] = {
            "settings": {
                "recipe": RECIPE,
                "unseen_steps": unseen_steps,
                "steps": steps,
                "weights": WEIGHTS,
                "source": source,
            },
            "cells": [asdict(cell) for cell in cells],
        }
        write_text(json_path, to_json({"figures": figures(cells), **run, **machine()}))


if __name__ == "__main__":
    main()

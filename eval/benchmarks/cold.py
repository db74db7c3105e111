"""New items of a semantic model against popularity and text: `python -m eval.benchmarks.cold`.

15 % of the items are held out of training altogether and added to the trained model afterwards.
Who finds those that users then chose, among all items and among the new ones alone?
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from eval.baselines import Baseline, Popularity
from eval.cold_items import ColdWorld
from eval.content import ContentSimilarity
from eval.intervals import Interval, mean_intervals
from eval.lists import RankedLists
from eval.ranking import Lister, rank_baseline, rank_recommender
from eval.report import format_interval
from eval.result_json import to_json
from eval.significance import compare
from rec_gen.answers import Answer
from rec_gen.cli.common import Command, data_config
from rec_gen.counts import Histories, MarkovKNN, Scores
from rec_gen.data.dataset import Dialogue, Example, Split
from rec_gen.data.prepare import load_dataset
from rec_gen.errors import RecGenError
from rec_gen.files import new_folder, write_text
from rec_gen.item_columns import text_vectors
from rec_gen.metrics import Floats, ndcg, recall
from rec_gen.recommender import Recommender
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

    def score(self, histories: Histories) -> Scores:
        scores: Scores = np.where(self.items, self.baseline.score(histories), -np.inf)
        return scores


@dataclass(frozen=True)
class _NewLister:
    """A model that may answer with new items alone."""

    recommender: Recommender
    allow: Sequence[str]

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        /,
        *,
        k: int,
        exclude_seen: bool,
        dialogues: Sequence[Dialogue | None],
    ) -> list[Answer]:
        return self.recommender.recommend(
            histories, k, exclude_seen=exclude_seen, dialogues=dialogues, allow=self.allow
        )


def train(folder: Path, data: Path, sources: str, overrides: Sequence[str]) -> Path:
    """Train in a process of its own, going on where an earlier one stopped.

    Returns:
        The bundle's folder.

    Raises:
        RecGenError: The training failed.
    """
    settings = [
        "spelling.scheme=semantic",
        f"spelling.sources={SOURCES[sources]}",
        "model.embed=[]",
        "prompt.max_tokens=64",
        "validation.users=1000",
        *overrides,
    ]
    command = [sys.executable, "-m", "rec_gen", "train", "industrial", "--data", str(data)]
    command += ["--out", str(folder / sources), "--max-minutes", "60"]
    options = [part for setting in settings for part in ("--set", setting)]
    if subprocess.run([*command, *options], check=False).returncode:
        raise RecGenError(f"{sources}: the training failed; its message stands above")
    return folder / sources / "bundle"


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


def baseline_values(
    baseline: Baseline, world: ColdWorld, examples: Sequence[Example], name: str
) -> Floats:
    """What a fitted baseline scores, see `values_of`."""
    catalog, only = world.whole.catalog, _New(name, world.cold, baseline)
    ranked = (
        rank_baseline(system, catalog, examples, False, LISTED)  # type: ignore[arg-type]
        for system in (baseline, only)
    )
    return values_of(*ranked)


def model_values(recommender: Recommender, world: ColdWorld, examples: list[Example]) -> Floats:
    """What a model scores that knows the new items, see `values_of`."""
    catalog = world.whole.catalog
    ids = [item.id for item in world.items]
    listers: tuple[Lister, Lister] = (recommender, _NewLister(recommender, ids))
    ranked = (rank_recommender(each, catalog, examples, False, LISTED) for each in listers)
    return values_of(*ranked)


def random_codes(recommender: Recommender, items: Sequence[str], seed: int) -> dict[str, list[int]]:
    """Codes that say nothing, each of which the model has tokens for and no item has."""
    spelled = set(recommender.bundle.spellings.texts)
    encoder = recommender.bundle.encoder
    if encoder is None:
        raise RecGenError("the bundle keeps no item encoder: train it again")
    levels, size, _ = encoder.centers.shape
    generator, found = np.random.default_rng(seed), dict[str, list[int]]()
    for item in items:
        row: list[int] = []
        while not row or _text(row) in spelled:
            row = generator.integers(size, size=levels).tolist()
        spelled.add(_text(row))
        found[item] = row
    return found


def _text(codes: Sequence[int]) -> str:
    from rec_gen.spelling import code_token

    return "".join(code_token(level, code) for level, code in enumerate(codes))


def best_recent(
    content: Callable[[int], ContentSimilarity], world: ColdWorld, seed: int
) -> tuple[int, dict[int, float]]:
    """How many items of a history tell most of the next one, on the validation split."""
    examples = world.examples(Split.VALID)
    found = {
        recent: float(baseline_values(content(recent), world, examples, "content")[:, 2].mean())
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

"""The promise of decoding on random weights: `python -m eval.benchmarks.promise --json FILE`.

Untrained models recommend from MovieLens-100K in all three spellings; every recommendation must be
an item of the catalog that the user has not seen, ten distinct ones for each request.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rec_gen.answers import Recommendation
from rec_gen.data.config import DataConfig
from rec_gen.data.dataset import Dataset
from rec_gen.data.prepare import load_dataset
from rec_gen.files import write_text
from rec_gen.recommender import Recommender
from rec_gen.spelling import Scheme
from rec_gen.testing import random_bundle
from rec_gen.versions import machine

K = 10
BATCH = 64


@dataclass
class Tally:
    """What was recommended in one spelling.

    Attributes:
        recommendations: Items returned.
        invalid: Items that are not in the catalog, were seen, or are missing from a list.
        duplicate: Items that stand twice in a list.
        seconds: Time in the recommender.
    """

    recommendations: int = 0
    invalid: int = 0
    duplicate: int = 0
    seconds: float = 0.0

    def add(self, catalog: set[str], history: list[str], answer: Sequence[Recommendation]) -> None:
        """Count one list."""
        ids = [recommendation.item.id for recommendation in answer]
        allowed = catalog.difference(history)
        self.recommendations += len(ids)
        self.invalid += sum(item not in allowed for item in ids) + abs(K - len(ids))
        self.duplicate += len(ids) - len(set(ids))


def tally(dataset: Dataset, scheme: Scheme, requests: int, seed: int) -> Tally:
    """Recommend after random cuts of random users' sequences, with random weights."""
    rng = np.random.default_rng(seed)
    sequences = [sequence.items for sequence in dataset.sequences()]
    ids = dataset.catalog.ids
    recommender = Recommender(random_bundle(dataset.catalog, scheme, seed))
    result, catalog = Tally(), set(ids)
    for start in track(range(0, requests, BATCH), scheme, console=Console(stderr=True)):
        chosen = rng.integers(len(sequences), size=min(BATCH, requests - start))
        cuts = [sequences[row][: rng.integers(len(sequences[row]) + 1)] for row in chosen]
        histories = [[ids[position] for position in cut] for cut in cuts]
        before = time.perf_counter()
        answers = recommender.recommend(histories, k=K, beam_width=K, batch_size=BATCH)
        result.seconds += time.perf_counter() - before
        for history, answer in zip(histories, answers, strict=True):
            result.add(catalog, history, answer)
    return result


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--recommendations", default=100_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(json_path: Path | None, recommendations: int, seed: int) -> None:
    """Count invalid and duplicate recommendations of random weights."""
    dataset = load_dataset(DataConfig(source="movielens-100k"))
    schemes: tuple[Scheme, ...] = get_args(Scheme)
    requests = -(-recommendations // (K * len(schemes)))
    tallies = {scheme: tally(dataset, scheme, requests, seed) for scheme in schemes}
    table = Table("spelling", "recommendations", "invalid", "duplicate", "seconds")
    for scheme, result in tallies.items():
        table.add_row(
            scheme,
            f"{result.recommendations:,}",
            str(result.invalid),
            str(result.duplicate),
            f"{result.seconds:.1f}",
        )
    Console().print(table)
    figures = {
        name: sum(getattr(result, name) for result in tallies.values())
        for name in ("recommendations", "invalid", "duplicate")
    }
    if json_path:
        report = {"figures": figures, "seed": seed, "data": dataset.fingerprint} | machine()
        write_text(json_path, json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()

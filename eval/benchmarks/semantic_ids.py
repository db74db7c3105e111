"""Which source of item vectors pays for semantic IDs: `python -m eval.benchmarks.semantic_ids`.

No model is trained. Codes are made of each source and of sources joined, by plain and by balanced
residual k-means. What is measured: how many items collide, how evenly the codes are used, and what
the codes of a validation example's last items tell of its next one.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from rec_gen.code_statistics import code_statistics
from rec_gen.config import parse_config
from rec_gen.data.config import DataConfig
from rec_gen.data.dataset import Dataset, Example, Split
from rec_gen.data.prepare import load_dataset
from rec_gen.files import write_text
from rec_gen.quantization import residual_kmeans
from rec_gen.semantic_ids import ItemVectorConfig, Source, join, source_vectors
from rec_gen.versions import machine

TEXT = {"minionerec-industrial": ("title", "brand", "description"), "amazon2014-beauty": ("title",)}
SOURCES: tuple[tuple[Source, ...], ...] = (
    ("text",), ("words",), ("cooccurrence",), ("text", "words"), ("text", "cooccurrence"),
    ("words", "cooccurrence"), ("text", "words", "cooccurrence"),
)  # fmt: skip
LEVELS = 3
RECENT = 3
"""The last items of a history whose codes are compared with those of the next item."""
TRUSTS = np.arange(0, 1, 0.02)
"""Shares of the next item's probability that the codes of recent items may decide."""


def usefulness(
    codes: npt.NDArray[np.int64],
    popularity: npt.NDArray[np.float64],
    examples: Sequence[Example],
    depth: int,
) -> dict[str, float]:
    """What the first codes of recent items tell of the next one.

    Bits are the mean logarithmic gain over popularity alone, of a mixture: a share of the
    probability goes to the items that share the codes of a recent item, by popularity among them,
    and the rest to all items by popularity. The share is the best one for these examples, one
    number. Small groups gain only where they hold the next item, so coarse and fine codes compare.

    Args:
        codes: int64 [items, levels].
        popularity: float64 [items], each item's share of the training interactions, positive.
        examples: Histories and their next items; where that is a recent item, it is left out, since
            an item shares its codes with itself.
        depth: How many codes must be shared.

    Returns:
        `shared`: how often the next item shares them with a recent item; `chance`: how often an
        item drawn by popularity among the others does; `bits`.
    """
    groups = np.unique(codes[:, :depth], axis=0, return_inverse=True)[1].ravel()
    mass = np.bincount(groups, popularity)
    shared, chance, ratios = [], [], []
    for example in examples:
        recent = np.unique(example.history[-RECENT:])
        if not recent.size or example.target in recent:
            continue
        near = groups[recent]
        hit = near == groups[example.target]
        known = popularity[recent].sum()
        shared.append(hit.any())
        chance.append((mass[np.unique(near)].sum() - known) / (1 - known))
        ratios.append(hit.mean() / mass[groups[example.target]])
    bits = [np.log2(1 - trust + trust * np.array(ratios)).mean() for trust in TRUSTS]
    return {
        "shared": float(np.mean(shared)),
        "chance": float(np.mean(chance)),
        "bits": float(max(bits)),
    }


def popularity_of(dataset: Dataset) -> npt.NDArray[np.float64]:
    """float64 [items], each item's share of the training interactions, each counted once more."""
    items = np.concatenate([sequence.items for sequence in dataset.sequences()])
    counts = 1.0 + np.bincount(items, minlength=len(dataset.catalog))
    return np.asarray(counts / counts.sum())


def measure(dataset: Dataset, text: Sequence[str], codes: int) -> dict[str, dict[str, float]]:
    """The figures of one data set, by sources and by the kind of clusters."""
    config = ItemVectorConfig(text=tuple(text))
    histories = [sequence.items for sequence in dataset.sequences()]
    popularity, examples = popularity_of(dataset), list(dataset.examples(Split.VALID))
    names = sorted({source for sources in SOURCES for source in sources})
    vectors = {
        name: source_vectors(name, dataset.catalog, histories, config, seed=0) for name in names
    }
    figures = {}
    for sources in SOURCES:
        joined = join([vectors[source] for source in sources])
        for balanced in (False, True):
            found = residual_kmeans(joined, LEVELS, codes, seed=0, balanced=balanced)
            statistics = code_statistics(found, codes, histories)
            row = {"collisions": statistics.collisions, "cold": statistics.cold}
            for level in range(LEVELS):
                row[f"perplexity_{level + 1}"] = statistics.perplexity[level]
            for depth in (1, 2):
                told = usefulness(found, popularity, examples, depth)
                row |= {f"{name}_{depth}": value for name, value in told.items()}
            kind = "balanced" if balanced else "plain"
            figures[f"{'+'.join(sources)} {kind}"] = {k: round(v, 4) for k, v in row.items()}
    return figures


def print_figures(name: str, figures: dict[str, dict[str, float]]) -> None:
    """Print one data set's figures for people."""
    table = Table("codes", *next(iter(figures.values())), title=name)
    for label, row in figures.items():
        table.add_row(label, *(f"{value:.4g}" for value in row.values()))
    Console(width=180).print(table)


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--data", multiple=True, default=list(TEXT), show_default=True, help="Data sets.")
@click.option("--codes", default=256, show_default=True, help="Codes a level.")
def main(json_path: Path | None, data: Sequence[str], codes: int) -> None:
    """Compare the sources of semantic IDs without training a model."""
    figures = {}
    for name in data:
        dataset = load_dataset(parse_config(DataConfig, {"source": name}))
        figures[name] = measure(dataset, TEXT.get(name, ("title",)), codes)
        print_figures(name, figures[name])
    if json_path:
        write_text(json_path, json.dumps({"figures": figures} | machine(), indent=2) + "\n")


if __name__ == "__main__":
    main()

"""The page's parts on a benchmark over seeds and on bare figures."""

from collections.abc import Iterator, Mapping
from typing import Any

from eval.page_data import BenchmarkResult, FiguresResult
from eval.page_evaluation import NDCG, OURS, quality_section
from eval.page_parts import (
    Cell,
    Document,
    Section,
    Table,
    differences_table,
    finding,
    headline,
    leak_section,
    number_cell,
)
from eval.plots import forest_plot, line_plot
from eval.report import HYBRID, VERDICT, detectable_notes, verdict
from rec_gen.counts import MarkovKNN

BY_SEED = {"recall@10": "Recall@10", "ndcg@10": NDCG}
"""What a table says of each seed."""


def benchmark_document(result: BenchmarkResult, file: str) -> Document:
    """All that a page says of a benchmark over seeds."""
    deciding = {system: found[VERDICT] for system, found in result.differences.items()}
    first = next((system for system in OURS if system in result.systems), None)
    said = {MarkovKNN.name: verdict(deciding[first])} if first in deciding else {}
    subject = first or next(iter(result.systems))
    other = f"{NDCG} less that of {MarkovKNN.name}"
    seeds = [
        [Cell(system), number_cell(seed, "d"), *(number_cell(means.get(m)) for m in BY_SEED)]
        for system, runs in result.by_seed.items()
        for seed, means in zip(result.seeds, runs, strict=False)
    ]
    sections = [quality_section(result.systems)]
    if deciding:
        plot = forest_plot(other, deciding, f"difference in {NDCG}")
        table = differences_table(other, "system", deciding)
        notes = detectable_notes(deciding.values())
        sections.append(Section("Differences", [plot], [table], notes))
    weights = list(result.validation)
    values = [result.validation[weight] for weight in weights]
    plot = line_plot(
        f"validation {NDCG} by weight of the prior", {HYBRID: (weights, values)}, ("weight", NDCG)
    )
    table = Table("metrics by seed", ["system", "seed", *BY_SEED.values()], seeds)
    sections.append(Section("Seeds and the weight of the prior", [plot], [table]))
    return Document(
        title=f"{result.name} on {result.dataset}",
        kind=f"benchmark, {file}",
        headline=headline(subject, result.systems[subject][VERDICT].mean, NDCG, said),
        findings=[
            finding(f"{system} less {MarkovKNN.name}", found, NDCG)
            for system, found in deciding.items()
        ],
        facts={
            "compared": ", ".join(result.systems),
            "data set": result.dataset,
            "fingerprint": result.fingerprint,
            "split": "test",
            "users": f"{result.users:,}",
            "held-out examples": f"{result.examples:,}",
            "seeds": ", ".join(map(str, result.seeds)),
            "minutes of training": ", ".join(f"{minutes:.1f}" for minutes in result.minutes),
            "weight of the prior": str(result.prior_weight),
            "machine": result.machine,
        },
        sections=[*sections, *leak_section(result.leaks, result.left_out)],
        protocol=result.protocol,
        versions=result.versions,
    )


def figures_document(result: FiguresResult, file: str) -> Document:
    """All that a page says of what is no comparison: a table of numbers."""
    rows = list(_figures(result.figures))
    return Document(
        title=file,
        kind="figures",
        headline=f"{len(rows)} figures.",
        facts={"machine": result.machine} if result.machine else {},
        sections=[Section("Figures", tables=[Table("figures", ["name", "value"], rows)])],
        versions=result.versions,
    )


def _figures(table: Mapping[str, Any], prefix: str = "") -> Iterator[list[Cell]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _figures(value, f"{prefix}{key}.")
        elif isinstance(value, float):
            yield [Cell(f"{prefix}{key}"), number_cell(value, ",.6g")]
        elif isinstance(value, int) and not isinstance(value, bool):
            yield [Cell(f"{prefix}{key}"), number_cell(value, ",d")]
        else:
            yield [Cell(f"{prefix}{key}"), Cell(str(value))]

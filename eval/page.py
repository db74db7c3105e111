"""A report to look at: one HTML file that needs nothing else, made of the files of results."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from math import isfinite, nan
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from eval.page_benchmark import benchmark_document, figures_document
from eval.page_data import (
    BenchmarkResult,
    EvaluationResult,
    ExperimentResult,
    FiguresResult,
    Result,
    RunCurves,
    validate,
)
from eval.page_evaluation import NDCG, evaluation_document
from eval.page_experiment import experiment_document
from eval.page_parts import Cell, Document, Section, Table, count_cell, number_cell
from eval.plots import line_plot
from rec_gen.files import write_text

GENERATOR = b'<meta name="generator" content="rec_gen">'
"""What every page holds, as the template writes it."""


def is_page(path: Path) -> bool:
    """Whether a file is there and is a page of results."""
    return path.is_file() and GENERATOR in path.read_bytes()


def write_page(
    path: Path, results: Mapping[str, Result], runs: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write a page beside its place and rename it.

    Args:
        path: The HTML file.
        results: By the name of its file, what it holds.
        runs: By the name of a training run, its curves as a table: see `RunCurves`.

    Raises:
        DataError: The curves of a run are none.
        MissingPackageError: matplotlib is not installed.
    """
    write_text(path, render_page(results, runs))


def render_page(results: Mapping[str, Result], runs: Mapping[str, Mapping[str, Any]]) -> str:
    """The page as HTML, the same for the same results; see `write_page`."""
    documents = [_document(result, file) for file, result in results.items()]
    if runs:
        read = {name: validate(RunCurves, table, name) for name, table in runs.items()}
        documents.append(_curves_document(read))
    return _template().render(documents=documents) + "\n"


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string((files("eval") / "page.html.jinja").read_text(encoding="utf-8"))


def _document(result: Result, file: str) -> Document:
    match result:
        case EvaluationResult():
            return evaluation_document(result, file)
        case ExperimentResult():
            return experiment_document(result, file)
        case BenchmarkResult():
            return benchmark_document(result, file)
        case FiguresResult():
            return figures_document(result, file)
    raise AssertionError(f"no page shows a {type(result).__name__}")


def _curves_document(runs: Mapping[str, RunCurves]) -> Document:
    """The curves of all runs together, over tokens where every run counted them."""
    tokens = all(run.count_tokens for run in runs.values())
    over, label = ("tokens", "tokens read") if tokens else ("step", "step")
    losses, held, ranked = {}, [], {}
    rows = []
    for name, run in runs.items():
        at = [getattr(point, over) for point in run.validations]
        losses[name] = [getattr(p, over) for p in run.losses], [p.value for p in run.losses]
        values = [p.validation_loss for p in run.validations if p.validation_loss is not None]
        if values and len(values) == len(at):
            held.append(f"{name}, validation")
            losses[held[-1]] = at, values
        ranked[name] = at, [point.ndcg for point in run.validations]
        rows += [
            [Cell(name), count_cell(p.step), number_cell(p.tokens, ",d"),
             number_cell(p.validation_loss), number_cell(p.ndcg), number_cell(p.recall)]
            for p in run.validations
        ]  # fmt: skip
    columns = ["run", "step", "tokens", "validation loss", NDCG, "Recall@10"]
    plots = [
        line_plot("loss in training and in validation", losses, (label, "loss"), dashed=held),
        line_plot("NDCG@10 in validation", ranked, (label, NDCG)),
    ]
    best = [
        f"{name} reached {number_cell(max(filter(isfinite, values), default=nan)).text}"
        for name, (_, values) in ranked.items()
        if values
    ]
    return Document(
        title="Training",
        kind="training curves",
        headline=f"By validation {NDCG}, {'; '.join(best)}." if best else "No validation was run.",
        sections=[Section("Training curves", plots, [Table("validations", columns, rows)])],
    )

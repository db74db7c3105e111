"""The page's part on an experiment with prompts."""

from collections.abc import Iterator, Mapping

from eval.experiment_report import DECIDING, METRICS
from eval.intervals import Interval
from eval.page_data import ExperimentResult
from eval.page_parts import (
    Cell,
    Document,
    Section,
    Table,
    axis_end,
    differences_table,
    finding,
    leak_section,
    metrics_table,
    number_cell,
)
from eval.page_slices import slicings
from eval.plots import forest_plot, interval_plot
from eval.report import MINUS, detectable_notes


def experiment_document(result: ExperimentResult, file: str) -> Document:
    """All that a page says of an experiment."""
    arms, baseline = result.arms, result.baseline
    compared = {name: arm.differences[DECIDING] for name, arm in arms.items()
                if DECIDING in arm.differences}  # fmt: skip
    metrics = {name: arm.metrics for name, arm in arms.items()}
    quality = [
        interval_plot(f"{metric} by arm", {name: m[metric] for name, m in metrics.items()}, metric,
                      accent=[baseline])
        for metric in METRICS
        if all(metric in each for each in metrics.values())
    ]  # fmt: skip
    note = f"An arm's cell has a + where {baseline} is worse, and a {MINUS} where it is better."
    return Document(
        title=result.name,
        kind=f"experiment with prompts, {file}",
        headline=result.verdict,
        findings=[
            finding(f"{name} less {baseline}", found, DECIDING) for name, found in compared.items()
        ],
        facts={
            "compared": ", ".join(arms),
            "baseline": baseline,
            "data set": result.dataset,
            "fingerprint": result.fingerprint,
            "users": f"{result.users:,}",
            "held-out examples": f"{result.examples:,}",
            **({"machine": result.machine} if result.machine else {}),
            **{key: str(result.config[key]) for key in ("split", "seed") if key in result.config},
        },
        sections=[
            Section(
                "Ranking quality",
                quality,
                [metrics_table("metrics", metrics, {m: m for m in METRICS}, name="arm")],
            ),
            *_differences(compared, baseline),
            *slicings(result.slices, DECIDING, note, [baseline]),
            _cost(result),
            *_wordings(result),
            *leak_section(result.leaks, {}),
            _arms(result),
        ],
        protocol=result.protocol,
        versions=result.versions,
    )


def _differences(compared: Mapping[str, Interval], baseline: str) -> Iterator[Section]:
    if compared:
        title = f"{DECIDING} of an arm less that of {baseline}"
        plot = forest_plot(title, compared, f"difference in {DECIDING}")
        notes = ["Right of the dashed line an arm is better; a ring is no difference shown."]
        notes += detectable_notes(compared.values())
        yield Section("Differences", [plot], [differences_table(title, "arm", compared)], notes)


def _cost(result: ExperimentResult) -> Section:
    """Tokens, what was left out of prompts, and time."""
    arms = result.arms
    tokens = {name: _point(arm.prompt_tokens) for name, arm in arms.items()}
    times = {
        name: Interval(arm.times["latency_median_s"], arm.times["latency_median_s"],
                       arm.times["latency_p95_s"])
        for name, arm in arms.items()
        if {"latency_median_s", "latency_p95_s"} <= set(arm.times)
    }  # fmt: skip
    truncated = {name: _point(arm.truncated) for name, arm in arms.items()}
    accent = [result.baseline]
    plots = [
        interval_plot("tokens of a prompt", tokens, "mean tokens", accent=accent),
        interval_plot("latency: median to 95th percentile", times, "seconds", accent=accent),
        interval_plot(
            "prompts that left out interactions",
            truncated,
            "share",
            accent=accent,
            end=axis_end(arm.truncated for arm in arms.values()),
        ),
    ]
    columns = ["arm", "tokens", "items shown", "truncated", "certified", "median s", "p95 s",
               "tokens/s"]  # fmt: skip
    rows = [
        [
            Cell(name),
            number_cell(arm.prompt_tokens, ",.1f"),
            number_cell(arm.shown, ".1f"),
            number_cell(arm.truncated, ".1%"),
            number_cell(arm.certified, ".1%"),
            number_cell(arm.times.get("latency_median_s"), ".3f"),
            number_cell(arm.times.get("latency_p95_s"), ".3f"),
            number_cell(arm.times.get("tokens_per_s"), ",.0f"),
        ]
        for name, arm in arms.items()
    ]
    return Section("Cost", plots, [Table("cost of an answer", columns, rows)])


def _point(value: float) -> Interval:
    return Interval(value, value, value)


def _wordings(result: ExperimentResult) -> Iterator[Section]:
    """How far the wordings of one prompt lie apart."""
    spreads = {group: Interval(s.mean, s.low, s.high) for group, s in result.groups.items()}
    if spreads:
        title = f"{DECIDING} of the wordings: worst, mean and best"
        rows = [
            [Cell(group), *map(number_cell, (s.low, s.mean, s.high)), Cell(", ".join(s.arms))]
            for group, s in result.groups.items()
        ]
        table = Table(title, ["wordings of", "worst", "mean", "best", "arms"], rows)
        yield Section("Spread of wordings", [interval_plot(title, spreads, DECIDING)], [table])


def _arms(result: ExperimentResult) -> Section:
    columns = ["arm", "template", "version", "model", "spelling", "score", "history", "digest"]
    rows = [
        [
            Cell(name),
            *map(Cell, (arm.template, arm.version, arm.model, arm.spelling, arm.score)),
            number_cell(arm.history, "d"),
            Cell(arm.sha256[:12]),
        ]
        for name, arm in result.arms.items()
    ]
    return Section("Arms", tables=[Table("what was compared", columns, rows)], folded=True)

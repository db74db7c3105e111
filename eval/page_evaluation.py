"""The page's part on an evaluation."""

from collections.abc import Iterator, Mapping, Sequence

from eval.categories import CategoryShares
from eval.intervals import Interval
from eval.page_data import EvaluationResult
from eval.page_parts import (
    NOTHING,
    Cell,
    Document,
    Plot,
    Section,
    Table,
    axis_end,
    count_cell,
    differences_table,
    finding,
    headline,
    interval_cell,
    leak_section,
    metrics_table,
    number_cell,
)
from eval.page_slices import slicing, slicings
from eval.plots import forest_plot, interval_plot, line_plot, share_plot
from eval.ratings import RatingEvaluation
from eval.reliability import ReliabilityBin
from eval.report import COLUMNS, HYBRID, LOG_LOSS, MINUS, MODEL, VERDICT, detectable_notes, verdict
from eval.slices import POPULARITY, SliceResult
from rec_gen.metrics import CUTOFFS
from rec_gen.text import clean_text

OURS = (MODEL, HYBRID)
NDCG = "NDCG@10"
LISTS = {
    "popularity@10": "average popularity",
    "novelty@10": "novelty (bits)",
    "coverage@10": "coverage of the catalog",
    "gini@10": "Gini coefficient of exposure",
    "diversity@10": "diversity by category",
    "miscalibration@10": "miscalibration by category",
    "cold_recall@10": "recall of items without training interactions",
}
"""What is measured of lists apart from all their hits, in this order."""

ONE_TARGET = (
    "Each example has one held-out item, so average precision is the reciprocal rank (MRR), and "
    "precision and F1 are recall on another scale."
)
NOTE = f"A system's cell has a + where the {MODEL} is better, and a {MINUS} where it is worse."


def evaluation_document(result: EvaluationResult, file: str) -> Document:
    """All that a page says of an evaluation."""
    deciding = {system: found[VERDICT] for system, found in result.differences.items()}
    said = {system: verdict(found) for system, found in deciding.items()}
    seen = "left out of the lists" if result.exclude_seen else "may be recommended again"
    return Document(
        title=f"{result.dataset}, {result.split} split",
        kind=f"evaluation, {file}",
        headline=headline(f"the {MODEL}", result.systems[MODEL][VERDICT].mean, NDCG, said),
        findings=[
            finding(f"{MODEL} less {system}", found, NDCG) for system, found in deciding.items()
        ],
        facts={
            "compared": ", ".join(result.systems),
            "data set": result.dataset,
            "fingerprint": result.fingerprint,
            "split": result.split,
            "users": f"{result.users:,}",
            "held-out examples": f"{result.examples:,}",
            "items of the history": seen,
            "seed": str(result.seed),
            **({"machine": result.machine} if result.machine else {}),
        },
        sections=[
            quality_section(result.systems),
            _differences(result),
            *_costs(result),
            *_popularity(result),
            *_reliability(result.reliability),
            *(_categories(result.categories) if result.categories else ()),
            *(_ratings(result.ratings) if result.ratings else ()),
            *_slicings(result.slices),
            *_free(result),
            *leak_section(result.leaks, result.left_out),
            _all_measures(result),
        ],
        protocol=result.protocol,
        versions=result.versions,
    )


def quality_section(systems: Mapping[str, Mapping[str, Interval]]) -> Section:
    """The metrics of a rank by system; those at other cutoffs than 10 are folded."""
    plots = [
        _by_system(f"{name}@10 by system", {s: m[f"{metric}@10"] for s, m in systems.items()})
        for metric, name in COLUMNS.items()
        if all(f"{metric}@10" in metrics for metrics in systems.values())
    ]
    tables = [
        metrics_table(
            f"metrics at {k}",
            systems,
            {f"{name}@{k}": f"{metric}@{k}" for metric, name in COLUMNS.items()},
            folded=k != 10,
        )
        for k in sorted(CUTOFFS, key=lambda k: k != 10)
    ]
    return Section("Ranking quality", plots, tables)


def _by_system(title: str, rows: Mapping[str, Interval]) -> Plot:
    return interval_plot(title, rows, title.partition(" by ")[0], accent=OURS)


def _differences(result: EvaluationResult) -> Section:
    shown = {f"{name}@10": f"{metric}@10" for metric, name in COLUMNS.items()}
    plots, tables = [], []
    for name in sorted(shown, key=lambda name: name != NDCG):
        metric = shown[name]
        found = {s: each[metric] for s, each in result.differences.items() if metric in each}
        if found:
            title = f"{name} of the {MODEL} less that of another system"
            plots.append(forest_plot(title, found, f"difference in {name}"))
            tables.append(differences_table(title, "other system", found, folded=name != NDCG))
    notes = ["Right of the dashed line the model is better; a ring is no difference shown."]
    deciding = (found[VERDICT] for found in result.differences.values())
    return Section("Differences", plots, tables, [*notes, *detectable_notes(deciding)])


def _costs(result: EvaluationResult) -> Iterator[Section]:
    """What an answer of each system cost."""
    if result.costs:
        ms = {s: Interval(cost.ms, cost.ms, cost.ms) for s, cost in result.costs.items()}
        rows = [
            [Cell(system), number_cell(cost.prompt_tokens, ",.1f"), number_cell(cost.ms, ",.3f")]
            for system, cost in result.costs.items()
        ]
        table = Table("mean of an answer", ["system", "prompt tokens", "ms"], rows)
        note = "Requests run in batches; loading and fitting are not in it."
        plot = interval_plot("milliseconds of an answer", ms, "ms", accent=OURS)
        yield Section("Cost", [plot], [table], [note])


def _popularity(result: EvaluationResult) -> Iterator[Section]:
    """How systems do on popular and rare targets, and how popular what they list is."""
    shown, plots = {}, []
    for name, title in LISTS.items():
        means = {s: metrics[name] for s, metrics in result.systems.items() if name in metrics}
        wholes = {s: found[name] for s, found in result.summaries.items() if name in found}
        rows = means or {s: Interval(value, value, value) for s, value in wholes.items()}
        if rows:
            plots.append(_by_system(f"{title} by system", rows))
            shown[title] = {s: interval_cell(found) for s, found in means.items()} or {
                s: number_cell(value) for s, value in wholes.items()
            }
    if shown:
        cells = [
            [Cell(system), *(column.get(system, NOTHING) for column in shown.values())]
            for system in result.systems
        ]
        table = Table("lists of 10", ["system", *shown], cells)
        yield Section("Popularity and spread of the lists", plots, [table])
    parts = [part for part in result.slices if part.by == POPULARITY]
    if parts:
        yield slicing("NDCG@10 by popularity of the target", parts, VERDICT, NOTE, OURS)


def _slicings(slices: list[SliceResult]) -> Iterator[Section]:
    others = [part for part in slices if part.by != POPULARITY]
    return slicings(others, VERDICT, NOTE, OURS)


def _categories(found: CategoryShares) -> Iterator[Section]:
    """How far the categories of lists are from those of histories."""
    column = clean_text(found.column)
    end = axis_end(share for shares in (found.history, *found.lists.values()) for share in shares)
    plots = [
        share_plot(
            f"{column}: histories and lists of {system}",
            found.names,
            found.history,
            listed,
            end,
        )
        for system, listed in found.lists.items()
    ]
    rows = [
        [Cell(clean_text(name)), number_cell(found.history[place]),
         *(number_cell(listed[place]) for listed in found.lists.values())]
        for place, name in enumerate(found.names)
    ]  # fmt: skip
    table = Table(f"mean shares of {column}", [column, "histories", *found.lists], rows)
    note = "Lists are calibrated where their shares are those of the histories (Steck 2018)."
    yield Section(f"Calibration by {column}", plots, [table], [note])


def _reliability(bins: Sequence[ReliabilityBin]) -> Iterator[Section]:
    """Whether the chances that items get come true."""
    if bins:
        note = (
            "The chance of a listed item that it is the next interaction, as calibrated in "
            "training, and how often it was; on the dashed line both are equal."
        )
        yield Section(
            "Calibration of the chances",
            [_diagram("reliability of listed items", {MODEL: bins}, "chance")],
            [_bins_table("items of the lists, by chance", bins)],
            [note],
        )


def _ratings(found: RatingEvaluation) -> Iterator[Section]:
    """How well yes and no are told, and whether chances come true."""
    metrics = dict.fromkeys(name for each in found.systems.values() for name in each)
    diagrams = {system: bins for system, bins in found.reliability.items() if bins}
    gains = {
        f"less log loss than {system}" if metric == LOG_LOSS else f"more {metric} than {system}": (
            each.reversed() if metric == LOG_LOSS else each
        )
        for system, metrics in found.differences.items()
        for metric, each in metrics.items()
    }
    yield Section(
        "Ratings",
        [_diagram("reliability of the chances", diagrams, "chance of a yes")] if diagrams else [],
        [
            metrics_table("yes or no", found.systems, {name: name for name in metrics}),
            differences_table(f"what the {MODEL} has", "of the answers", gains),
            *(_bins_table(f"reliability of {s}", b, folded=True) for s, b in diagrams.items()),
        ],
        [found.judged, *detectable_notes(gains.values())],
    )


def _diagram(title: str, systems: Mapping[str, Sequence[ReliabilityBin]], what: str) -> Plot:
    lines = {
        system: ([each.predicted for each in bins], [each.observed for each in bins])
        for system, bins in systems.items()
    }
    return line_plot(title, lines, (f"predicted {what}", "share that came true"), diagonal=True)


def _bins_table(title: str, bins: Sequence[ReliabilityBin], *, folded: bool = False) -> Table:
    rows = [
        [Cell(str(place)), number_cell(b.predicted), number_cell(b.observed), count_cell(b.pairs)]
        for place, b in enumerate(bins, start=1)
    ]
    return Table(title, ["bin", "predicted", "observed", "pairs"], rows, folded)


def _free(result: EvaluationResult) -> Iterator[Section]:
    """What the model wrote without constraints."""
    if not result.unconstrained:
        return
    first = result.unconstrained[0]
    columns = {"invalid": "invalid", "duplicate": "duplicate", "already seen": "seen"}
    shares = {
        each.method: {name: getattr(each, name) for name in columns.values()}
        for each in result.unconstrained
    }
    asked = f"shares of {first.answers} answers to each of {first.examples:,} examples"
    plots = [
        interval_plot(
            f"share of {title} answers",
            {method: found[name] for method, found in shares.items()},
            "share",
            end=1,
        )
        for title, name in columns.items()
    ]
    table = metrics_table(asked, shares, columns, name="method")
    yield Section("Without constraints", plots, [table])


def _all_measures(result: EvaluationResult) -> Section:
    names = dict.fromkeys(name for metrics in result.systems.values() for name in metrics)
    rows = [
        [Cell(name), *(interval_cell(metrics.get(name)) for metrics in result.systems.values())]
        for name in names
    ]
    table = Table("all measures of an example", ["measure", *result.systems], rows)
    return Section("All measures", tables=[table], notes=[ONE_TARGET], folded=True)

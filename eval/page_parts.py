"""The parts of a page: documents of sections, which hold tables and plots."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from eval.intervals import Interval
from eval.leaks import LeakCheck
from eval.report import MINUS, format_number, in_cases, verdict
from eval.significance import Comparison

MARKS = {"better": "+", "worse": MINUS}
"""What stands beside a number that is shown to be better or worse."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What it says.
        value: The number that it is sorted by; None where it is sorted by its text.
        note: What stands smaller beside it, such as an interval.
        mark: `better` or `worse`, where it is coloured.
    """

    text: str
    value: float | None = None
    note: str = ""
    mark: str = ""


NOTHING = Cell("-", math.nan)
"""A cell without a number; it is sorted last."""


@dataclass(frozen=True)
class Table:
    """A table that sorts by each of its columns.

    Attributes:
        title: What it shows.
        columns: The headers; the first is that of the rows' names.
        rows: A cell for each column.
        folded: Whether it is shown only where it is asked for.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False


@dataclass(frozen=True)
class Plot:
    """A plot with its caption, an inline SVG whose colours are variables of the page's style."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class Section:
    """Plots, and the tables with their numbers, under one heading.

    Attributes:
        title: The heading.
        plots: Small plots that stand side by side.
        tables: Their numbers.
        notes: Sentences below the heading.
        folded: Whether only the heading is shown at first.
    """

    title: str
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    folded: bool = False


@dataclass(frozen=True)
class Finding:
    """One comparison in words: `better`, `worse` or no difference shown, and what follows."""

    mark: str
    text: str


@dataclass(frozen=True)
class Document:
    """All that a page says of one result.

    Attributes:
        title: What was measured.
        kind: What kind of result it is, and its file.
        headline: The verdict in a sentence.
        findings: One a comparison.
        facts: What was compared on which data, by name.
        sections: Plots and tables.
        protocol: How the numbers came about, in words.
        versions: What they rest on.
    """

    title: str
    kind: str
    headline: str
    findings: Sequence[Finding] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    sections: Sequence[Section] = ()
    protocol: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def number_cell(value: float | None, form: str | None = None, mark: str = "") -> Cell:
    """A number; a dash that is sorted last where there is none.

    Args:
        value: The number.
        form: A format; the default is four decimals, or one from 10 on.
        mark: As in `Cell`.
    """
    if value is None or math.isnan(value):
        return NOTHING
    return Cell(number(value) if form is None else format(value, form), value, mark=mark)


def number(value: float, signed: bool = False) -> str:
    """Four decimals without a leading zero, or one decimal from 10 on; nothing of NaN."""
    if math.isnan(value) or abs(value) < 10:
        return format_number(value, signed)
    return f"{value:{'+' if signed else ''},.1f}".replace("-", MINUS)


def interval_cell(interval: Interval | None, signed: bool = False, mark: str = "") -> Cell:
    """A mean, and its interval as a note."""
    if interval is None or math.isnan(interval.mean):
        return NOTHING
    low, mean, high = (number(end, signed) for end in (interval.low, interval.mean, interval.high))
    return Cell(mean, interval.mean, f"[{low}, {high}]" if low and high else "", mark)


def count_cell(count: int) -> Cell:
    """A whole number."""
    return Cell(f"{count:,}", count)


def axis_end(values: Iterable[float]) -> float:
    """Where an axis that begins at 0 ends: a little beyond the highest finite value."""
    return max(filter(math.isfinite, values), default=0.0) * 1.05 or 1.0


def metrics_table(
    title: str,
    systems: Mapping[str, Mapping[str, Interval]],
    columns: Mapping[str, str],
    *,
    name: str = "system",
    folded: bool = False,
) -> Table:
    """One row a system and one column a metric, with intervals.

    Args:
        title: The caption.
        systems: By system and metric, the mean and its interval.
        columns: By header, the metric.
        name: The header of the systems.
        folded: As in `Table`.
    """
    rows = [
        [Cell(system), *(interval_cell(metrics.get(metric)) for metric in columns.values())]
        for system, metrics in systems.items()
    ]
    return Table(title, [name, *columns], rows, folded)


def differences_table(
    title: str, name: str, differences: Mapping[str, Interval], *, folded: bool = False
) -> Table:
    """One row a difference with what it shows; p-values only where there are any."""
    tested = any(isinstance(found, Comparison) for found in differences.values())
    rows = []
    for system, found in differences.items():
        said = verdict(found)
        row = [Cell(system), interval_cell(found, signed=True, mark=said if said in MARKS else "")]
        if isinstance(found, Comparison):
            row += [number_cell(value) for value in (found.p, found.p_holm, found.detectable)]
        rows.append([*row, Cell(said)])
    tests = ["p", "p (Holm)", "detectable"] if tested else []
    return Table(title, [name, "difference", *tests, "verdict"], rows, folded)


def finding(text: str, found: Interval, metric: str) -> Finding:
    """A comparison in words: by how much, how sure, and what could have been found.

    Args:
        text: What is compared with what.
        found: The difference.
        metric: Of what.
    """
    parts = [
        f"{metric} {number(found.mean, True)} "
        f"[{number(found.low, True)}, {number(found.high, True)}]"
    ]
    if isinstance(found, Comparison):
        parts.append(f"p {number(found.p_holm)}")
        if not math.isnan(found.detectable):
            told = f"{number(found.detectable)} {in_cases(found.level)}"
            parts.append(f"a true difference of {told} is found")
    return Finding(verdict(found), f"{text}: {', '.join(parts)}")


def headline(subject: str, score: float, metric: str, verdicts: Mapping[str, str]) -> str:
    """Whom a system is better and worse than, in a sentence.

    Args:
        subject: The system.
        score: Its mean.
        metric: Of what.
        verdicts: By other system, `better`, `worse` or no difference shown.
    """
    named: dict[str, list[str]] = {}
    for other, said in verdicts.items():
        named.setdefault(said, []).append(other)
    parts = [f"is {word} than {_and(named[word])}" for word in MARKS if word in named]
    rest = [name for word, names in named.items() if word not in MARKS for name in names]
    if rest:
        parts.append(f"is not shown to differ from {_and(rest)}")
    start = f"In {metric}, {subject} ({number(score)})"
    return f"{start} {', and '.join(parts)}." if parts else f"{start} was compared with nothing."


def leak_section(leaks: Sequence[LeakCheck], left_out: Mapping[str, str]) -> list[Section]:
    """What the checks for leaks found, and which baselines are missing; nothing where none is."""
    rows = [
        [Cell(c.name), Cell(c.status, mark="worse" if c.status == "allowed" else ""), Cell(c.note)]
        for c in leaks
    ]
    table = Table("checks", ["check", "status", "note"], rows)
    notes = [f"Without {system}: {reason}." for system, reason in left_out.items()]
    if not leaks and not notes:
        return []
    return [Section("Checks for leaks", tables=[table] if leaks else [], notes=notes)]


def _and(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last

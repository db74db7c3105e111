"""What an evaluation found: JSON and Parquet for machines, tables and verdicts for people."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import polars as pl
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.categories import CategoryShares
from eval.intervals import Interval
from eval.leaks import LeakCheck
from eval.lists import Cost
from eval.measures import RANK_METRICS, K
from eval.ratings import RatingEvaluation
from eval.reliability import ReliabilityBin
from eval.result_json import to_json
from eval.significance import POWER, SIZE, Comparison
from eval.slices import FEWEST, SliceResult
from eval.unconstrained import FreeGeneration
from rec_gen.files import new_file, write_text
from rec_gen.metrics import CUTOFFS
from rec_gen.text import clean_text

MODEL, HYBRID = "model", "hybrid"
COLUMNS = {"recall": "Recall", "ndcg": "NDCG", "mrr": "MRR"}
VERDICT = "ndcg@10"
LOG_LOSS = "log_loss"
MINUS = "\N{MINUS SIGN}"
BLANK = "\N{NO-BREAK SPACE}"
"""Keeps a cell in one piece, and numbers below each other, since rich strips plain blanks."""


@dataclass(frozen=True)
class Evaluation:
    """The measures of a model and of other systems on the same held-out examples.

    Attributes:
        dataset: The data set's name.
        fingerprint: The data set's fingerprint.
        split: The held-out split.
        exclude_seen: Whether the items of a history were taken out of its list.
        seed: The seed of the bootstrap and of ties.
        users: The number of users with an example.
        examples: The number of held-out interactions.
        protocol: How the numbers came about, in words.
        machine: Where the times were taken.
        versions: Python and the installed packages that the numbers rest on.
        leaks: What every check for leaks found.
        left_out: Why a baseline of the default is not among the systems, by its name.
        systems: By system and measure (as in `recall@10`), the mean and its interval.
        differences: By other system and measure, the model's mean less the other's, paired, with
            p-values and what could have been detected.
        summaries: By system and measure of all lists together, the number.
        costs: By system, what an answer cost on this machine.
        slices: The same measures for parts of the examples.
        unconstrained: What the model wrote without constraints, where that was asked for.
        categories: What part of histories and of lists each category has, where asked for.
        ratings: How well yes and no are told apart, where asked for.
        reliability: Whether the chances of the model's bundle come true; empty where it has none,
            and on the validation split, which they were fitted on.
        rows: One row an example and system, see `eval.lists.list_rows`; beside the JSON, not in it.
    """

    dataset: str
    fingerprint: str
    split: str
    exclude_seen: bool
    seed: int
    users: int
    examples: int
    protocol: str
    machine: str
    versions: dict[str, str]
    leaks: list[LeakCheck]
    left_out: dict[str, str]
    systems: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Comparison]]
    summaries: dict[str, dict[str, float]]
    costs: dict[str, Cost]
    slices: list[SliceResult]
    unconstrained: list[FreeGeneration]
    categories: CategoryShares | None = None
    ratings: RatingEvaluation | None = None
    reliability: list[ReliabilityBin] = field(default_factory=list)
    rows: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False, compare=False)

    def to_json(self) -> str:
        """The whole evaluation but for its rows as JSON; intervals as `mean`, `low` and `high`."""
        table = asdict(self)
        del table["rows"]
        return to_json(table)

    def save(self, path: Path) -> None:
        """Write the JSON, and the rows as Parquet under the same name; each whole or not at all.

        Args:
            path: The file for the JSON; the rows get its name with the suffix `.parquet`.
        """
        with new_file(path.with_suffix(".parquet")) as partial:
            self.rows.write_parquet(partial)
        write_text(path, self.to_json())

    def render(self, console: Console, slices: bool = False) -> None:
        """Print one row per cutoff and system, one verdict per other system, and what is left.

        Args:
            console: Where to.
            slices: Print a table for each slicing too.
        """
        self._print_metrics(console)
        self._print_comparisons(console)
        self._print_others(console)
        self._print_costs(console)
        if slices:
            print_slices(console, self.slices, VERDICT, f"the {MODEL} is better")
        if self.unconstrained:
            _print_free(console, self.unconstrained)
        if self.ratings:
            _print_ratings(console, self.ratings)
        print_notes(console, self.left_out, self.leaks)

    def _print_metrics(self, console: Console) -> None:
        size = f"{self.examples:,} examples of {self.users:,} users"
        table = _table(f"{self.dataset}, {self.split}: {size}", *COLUMNS.values())
        for k in CUTOFFS:
            table.add_row(f"@{k}")
            for system, metrics in self.systems.items():
                cells = (format_interval(metrics[f"{metric}@{k}"]) for metric in COLUMNS)
                table.add_row(system, *cells)
        console.print(table)

    def _print_comparisons(self, console: Console) -> None:
        title = f"what the {MODEL} has more of NDCG@10 than"
        table = _table(title, "difference", "p", "detectable", "verdict")
        for system, metrics in self.differences.items():
            found = metrics[VERDICT]
            numbers = (format_number(found.p_holm), format_number(found.detectable))
            difference = format_interval(found, signed=True)
            table.add_row(system, difference, *numbers, verdict(found))
        console.print(table)
        for line in detectable_notes(metrics[VERDICT] for metrics in self.differences.values()):
            console.print(line, highlight=False)

    def _print_others(self, console: Console) -> None:
        """What is no metric of a rank: a column each, a row for each system.

        Of one held-out item average precision is the reciprocal rank, and precision and F1 are
        recall on another scale, so these stand in the JSON alone.
        """
        shown = {f"{metric.__name__}@{k}" for metric in RANK_METRICS for k in CUTOFFS}
        means = {
            system: {name: interval.mean for name, interval in metrics.items() if name not in shown}
            | self.summaries[system]
            for system, metrics in self.systems.items()
        }
        names = list(means[MODEL])
        if names:
            table = _table(f"lists of {K}", *(name.removesuffix(f"@{K}") for name in names))
            for system, numbers in means.items():
                table.add_row(system, *(format_number(numbers[name]) for name in names))
            console.print(table)

    def _print_costs(self, console: Console) -> None:
        table = _table("cost of an answer", "tokens", "ms")
        for system, cost in self.costs.items():
            tokens = "" if cost.prompt_tokens is None else f"{cost.prompt_tokens:.0f}"
            table.add_row(system, tokens, f"{cost.ms:.2f}")
        console.print(table)


def _table(title: str, *columns: str, no_wrap: bool = True) -> Table:
    """A table with a column of names, and more to its right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0)
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=no_wrap)
    return table


def print_slices(console: Console, slices: Sequence[SliceResult], metric: str, plus: str) -> None:
    """Print a table for each slicing: a row a slice.

    Args:
        console: Where to.
        slices: The slices.
        metric: What is shown of each system.
        plus: What a + at a system's number says; a minus says the opposite.
    """
    for by in dict.fromkeys(part.by for part in slices):
        parts = [part for part in slices if part.by == by]
        console.print(_slices_table(parts, metric, plus))
        for line in slice_notes(parts):
            console.print(line, highlight=False)


def _slices_table(parts: Sequence[SliceResult], metric: str, plus: str) -> Table:
    title = f"{metric.upper()} by {plain(parts[0].by)}; + {plain(plus)}, {MINUS} worse"
    table = _table(title, "users", *map(plain, parts[0].systems), no_wrap=False)
    for part in parts:
        few = f"{BLANK}(few)" if part.few else ""
        cells = (
            format_number(metrics[metric].mean) + _sign(part, system, metric)
            for system, metrics in part.systems.items()
        )
        table.add_row(plain(part.value), f"{part.users:,}{few}", *cells)
    return table


def _sign(part: SliceResult, system: str, metric: str) -> str:
    words = slice_verdict(part, system, metric)
    return BLANK + {"better": "+", "worse": MINUS}.get(words, BLANK)


def slice_verdict(part: SliceResult, system: str, metric: str) -> str:
    """What a slice says of the difference to a system; nothing of too few users."""
    found = part.differences.get(system)
    return verdict(found[metric]) if found and not part.few else ""


def slice_notes(parts: Sequence[SliceResult]) -> list[str]:
    """What is to be known of the verdicts of slices."""
    few = [f"Few: under {FEWEST} users there is no verdict."] if any(p.few for p in parts) else []
    return [*few, "Verdicts are not corrected for how many slices there are."]


def plain(text: str) -> str:
    """A text from the data that neither rich nor the terminal reads as anything else."""
    return escape(clean_text(text))


def _print_free(console: Console, found: list[FreeGeneration]) -> None:
    asked = f"{found[0].answers} answers to each of {found[0].examples:,} examples"
    title = f"without constraints: shares of {asked}"
    table = _table(title, "invalid", "duplicate", "already seen")
    for each in found:
        shares = (each.invalid, each.duplicate, each.seen)
        table.add_row(each.method, *map(format_interval, shares))
    console.print(table)


def _print_ratings(console: Console, found: RatingEvaluation) -> None:
    """One row a metric, and what the model has more of those that are means over pairs."""
    table = _table(f"yes or no to {found.pairs:,} pairs", *found.systems)
    for name in found.systems[MODEL]:
        cells = (format_interval(metrics[name]) for metrics in found.systems.values())
        table.add_row(name, *cells)
    console.print(table)
    console.print(found.judged, highlight=False)
    for system, metrics in found.differences.items():
        for name, each in metrics.items():
            print_difference(console, MODEL, system, each, name, less=name == LOG_LOSS)


def print_notes(console: Console, left_out: dict[str, str], leaks: list[LeakCheck]) -> None:
    """Print which baselines are missing, which leaks were allowed, and how many checks passed."""
    lines = [f"without {system}: {reason}" for system, reason in left_out.items()]
    lines += [
        f"allowed leak {check.name}: {check.note}" for check in leaks if check.status == "allowed"
    ]
    counts = Counter(check.status for check in leaks)
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    for line in (*lines, f"checks for leaks: {told}"):
        console.print(line, markup=False, highlight=False)


def print_difference(
    console: Console,
    one: str,
    other: str,
    difference: Interval,
    metric: str = "NDCG@10",
    *,
    less: bool = False,
) -> None:
    """Print the paired difference of two systems in a metric, and what it says of the first.

    Args:
        console: Where to.
        one: The first system.
        other: The second system.
        difference: What the first has more of the metric.
        metric: Its name.
        less: Whether less of it is better.
    """
    judged = replace(difference, mean=-difference.mean) if less else difference
    tested = ""
    if isinstance(difference, Comparison):
        tested = f", p {format_number(difference.p_holm)}"
    console.print(
        f"{one} {MINUS} {other}, {metric}: "
        f"{format_interval(difference, signed=True)}{tested}: {verdict(judged)}",
        markup=False,
        highlight=False,
    )


def detectable_notes(found: Iterable[Interval]) -> list[str]:
    """What the detectable differences of some comparisons are, a sentence a level."""
    levels = sorted({each.level for each in found if isinstance(each, Comparison)})
    return [f"Detectable: the true difference that is found {in_cases(level)}." for level in levels]


def in_cases(level: float) -> str:
    """How often, and by what test, a detectable difference is found."""
    return f"in {POWER:.0%} of cases at level {format_number(level)}".replace("%", " %")


def verdict(difference: Interval) -> str:
    """What a difference says: better, worse, or no difference shown.

    Of a comparison its corrected p-value decides, of an interval alone whether it leaves out 0.
    """
    if isinstance(difference, Comparison):
        shown = difference.p_holm < SIZE
    else:
        shown = not difference.low <= 0 <= difference.high
    if not shown:
        return "no difference shown"
    return "better" if difference.mean > 0 else "worse"


def format_interval(interval: Interval, signed: bool = False) -> str:
    """A mean and its interval as `.1234 [.1200, .1300]`; without ends, the mean alone."""
    ends = (interval.mean, interval.low, interval.high)
    mean, low, high = (format_number(value, signed) for value in ends)
    return f"{mean} [{low}, {high}]" if low and high else mean


def format_number(value: float, signed: bool = False) -> str:
    """Four digits without a leading zero; nothing where there is no number."""
    if math.isnan(value):
        return ""
    text = f"{value:{'+' if signed else ''}.4f}"
    return re.sub(r"^([+-]?)0\.", r"\1.", text).replace("-", MINUS)

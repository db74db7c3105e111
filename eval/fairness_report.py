"""What a look at fairness found: JSON for machines, tables for people."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from eval.exposure_curve import SEARCH, Point
from eval.fairness_measures import DEVIATION, EXPLAINED, EXPOSURES, GROUPS, INTERACTIONS, NDCG
from eval.intervals import LEVEL, RESAMPLES, Interval
from eval.report import MODEL, format_interval, format_number, plain
from eval.result_json import to_json
from eval.significance import Comparison
from eval.slices import FEWEST, SliceResult
from eval.user_groups import PERMUTATIONS, Gap
from rec_gen.files import write_text

COUNTED = ("markov", "popularity")
"""The counted baselines of the table."""
TAIL = EXPOSURES["tail"]
SHOWN = GROUPS[:3]
"""The groups of the tables; the JSON has that of the cold items too."""
FAIRNESS_PROTOCOL = (
    "Strengths are chosen on the validation split, the test split is looked at once. Items are "
    "ranked among the full catalog by item id; exposure is that of lists of 10, by the discount of "
    "NDCG. Head, torso and tail have a third of the training interactions each. Intervals are "
    f"{LEVEL} % percentile bootstrap intervals, {RESAMPLES} resamples of users. Coverage and Gini "
    "have none, since a resample holds fewer users and so covers less. The gap between groups of "
    f"at least {FEWEST} users is compared with that of {PERMUTATIONS} random divisions."
)


@dataclass(frozen=True)
class Fairness:
    """What exposure control costs and whom it serves.

    Attributes:
        dataset: The data set's name.
        fingerprint: The data set's fingerprint.
        users: Users with a test example.
        examples: Test examples.
        budget: The share of the validation NDCG@10 that could be spent.
        seed: Of the bootstrap, the tests and the order of ties.
        protocol: How the numbers came about, in words.
        curves: By way, what each strength comes to on the validation split.
        chosen: By way, the strongest within the budget.
        merit: The groups' shares of the training interactions and of the held-out items.
        measured: On test, by system and measure, the mean and its interval.
        summaries: On test, the measures of all lists together.
        differences: On test, by reference, other system and measure, what the reference has more.
        groups: On test, the same for groups of users, where the search is the reference.
        gaps: How far groups of users are apart.
        machine: Where it ran.
        versions: Python and the installed packages that the numbers rest on.
    """

    dataset: str
    fingerprint: str
    users: int
    examples: int
    budget: float
    seed: int
    protocol: str
    curves: dict[str, list[Point]]
    chosen: dict[str, float]
    merit: dict[str, dict[str, float]]
    measured: dict[str, dict[str, Interval]]
    summaries: dict[str, dict[str, float]]
    differences: dict[str, dict[str, dict[str, Comparison]]]
    groups: list[SliceResult]
    gaps: list[Gap]
    machine: str
    versions: dict[str, str]

    def save(self, path: Path) -> None:
        """Write all of it as JSON, whole or not at all; `figures` are those of the claim."""
        write_text(path, to_json({"figures": self.figures(), **asdict(self)}))

    def figures(self) -> dict[str, float]:
        """The numbers that the documentation quotes."""
        model, search = self.measured[MODEL], self.measured[SEARCH]
        interactions = self.merit[INTERACTIONS]["tail"]
        found = {"strength": self.chosen[SEARCH]}
        for name, measures in (("model", model), ("search", search)):
            found[f"ndcg10_{name}"] = measures[NDCG].mean
            found[f"tail_exposure_{name}"] = measures[TAIL].mean
            found[f"tail_exposure_to_interactions_{name}"] = measures[TAIL].mean / interactions
        return found

    def render(self, console: Console) -> None:
        """Print the curve of the search, the systems on test, and the groups of users."""
        console.print(self._curve())
        for table in self._systems():
            console.print(table)
        if EXPLAINED in self.measured[MODEL]:
            console.print(self._explained())
        for by in dict.fromkeys(part.by for part in self.groups):
            console.print(self._groups(by))
        console.print(self._gaps())

    def _curve(self) -> Table:
        table = _table(
            f"{self.dataset}, validation; chosen: {self.chosen[SEARCH]}, budget {self.budget:.1%}",
            *("NDCG@10", "less than the model", *SHOWN, "deviation", "coverage", "Gini"),
        )
        for name, points in self.curves.items():
            table.add_row(name)
            for point in points:
                mark = "*" if point.strength == self.chosen[name] else " "
                table.add_row(
                    f"{mark} {point.strength:.2f}",
                    format_interval(point.measures[NDCG]),
                    format_interval(point.difference, signed=True),
                    *(format_number(point.measures[EXPOSURES[group]].mean) for group in SHOWN),
                    format_number(point.measures[DEVIATION].mean),
                    *map(format_number, point.summaries.values()),
                )
        return table

    def _systems(self) -> Iterator[Table]:
        """Exposure of items, then what else the lists are like."""
        title = f"{self.dataset}, test: {self.examples:,} examples of {self.users:,} users"
        exposed = _table(title, "NDCG@10", *(f"exposure of {group}" for group in SHOWN))
        for name, shares in self.merit.items():
            exposed.add_row(name, "", *(format_number(shares[group]) for group in SHOWN))
        measures = (NDCG, *(EXPOSURES[group] for group in SHOWN))
        recalls = [f"recall of {group}" for group in SHOWN]
        others = _table("lists of 10, test", "deviation", "coverage", "Gini", *recalls)
        for system, found in self.measured.items():
            row = self._named(system)
            exposed.add_row(row, *(format_interval(found[measure]) for measure in measures))
            others.add_row(
                row,
                format_interval(found[DEVIATION]),
                *map(format_number, self.summaries[system].values()),
                *(format_interval(found[measure]) for measure in recalls),
            )
        yield from (exposed, others)

    def _named(self, system: str) -> str:
        return f"{system}, {self.chosen[system]}" if system in self.chosen else system

    def _explained(self) -> Table:
        table = _table("share of listed items that have an explanation, test", "all", *SHOWN)
        names = (EXPLAINED, *(f"{EXPLAINED} of {group}" for group in SHOWN))
        for system, found in self.measured.items():
            table.add_row(self._named(system), *(format_interval(found[name]) for name in names))
        return table

    def _groups(self, by: str) -> Table:
        columns = [f"{measure} of {system}" for measure in ("NDCG@10", "tail")
                   for system in (MODEL, "search")]  # fmt: skip
        others = ("search more of NDCG@10", "deviation", "explained")
        table = _table(f"test, {plain(by)}", "users", *columns, *others)
        for part in self.groups:
            if part.by != by:
                continue
            both = [part.systems[system] for system in (MODEL, SEARCH)]
            more = part.differences.get(MODEL, {}).get(NDCG)
            table.add_row(
                plain(part.value),
                str(part.users),
                *(format_interval(each[measure]) for measure in (NDCG, TAIL) for each in both),
                "few users" if more is None else format_interval(more, signed=True),
                format_interval(both[1][DEVIATION]),
                format_interval(both[1][EXPLAINED]) if EXPLAINED in both[1] else "",
            )
        return table

    def _gaps(self) -> Table:
        table = _table("largest gap between groups of users, test", "measure", "gap", "by chance",
                       "p")  # fmt: skip
        for found in self.gaps:
            if not math.isnan(found.gap):
                numbers = map(format_number, (found.gap, found.chance, found.p))
                table.add_row(f"{plain(found.by)}, {found.system}", found.measure, *numbers)
        return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table

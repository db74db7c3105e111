"""What an evaluation found: a JSON file for machines, a table and a verdict for people."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from eval.intervals import Interval
from rec_gen.files import write_text
from rec_gen.metrics import CUTOFFS

MODEL, HYBRID = "model", "hybrid"
COLUMNS = {"recall": "Recall", "ndcg": "NDCG", "mrr": "MRR"}
VERDICT = "ndcg@10"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a model and of other systems on the same held-out examples.

    Attributes:
        dataset: The data set's name.
        fingerprint: The data set's fingerprint.
        split: The held-out split.
        exclude_seen: Whether the items of a history were taken out of its list.
        seed: The seed of the bootstrap.
        users: The number of users with an example.
        examples: The number of held-out interactions.
        protocol: How the numbers came about, in words.
        versions: Python and the installed packages that the numbers rest on.
        systems: By system and metric (as in `recall@10`), the mean and its interval.
        differences: By other system and metric, the model's mean less the other's, paired.
    """

    dataset: str
    fingerprint: str
    split: str
    exclude_seen: bool
    seed: int
    users: int
    examples: int
    protocol: str
    versions: dict[str, str]
    systems: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]

    def to_json(self) -> str:
        """The whole evaluation as JSON, intervals as `mean`, `low` and `high`."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    def save(self, path: Path) -> None:
        """Write the JSON beside its place and rename it, so that no half-written file is seen."""
        write_text(path, self.to_json())

    def render(self, console: Console) -> None:
        """Print one row per cutoff and system, then one verdict per other system."""
        size = f"{self.examples:,} examples of {self.users:,} users"
        table = Table(title=f"{self.dataset}, {self.split}: {size}", box=box.SIMPLE_HEAD, padding=0)
        table.add_column("")
        for title in COLUMNS.values():
            table.add_column(title, justify="right", no_wrap=True)
        for k in CUTOFFS:
            table.add_row(f"@{k}")
            for system, metrics in self.systems.items():
                cells = (format_interval(metrics[f"{metric}@{k}"]) for metric in COLUMNS)
                table.add_row(system, *cells)
        console.print(table)
        for system, metrics in self.differences.items():
            print_difference(console, MODEL, system, metrics[VERDICT])


def print_difference(console: Console, one: str, other: str, difference: Interval) -> None:
    """Print the paired difference of two systems in NDCG@10, and what it says of the first."""
    console.print(
        f"{one} {MINUS} {other}, NDCG@10: "
        f"{format_interval(difference, signed=True)}: {verdict(difference)}",
        markup=False,
        highlight=False,
    )


def verdict(difference: Interval) -> str:
    """What the interval of a difference says: better, worse, or no difference shown."""
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "no difference shown"


def format_interval(interval: Interval, signed: bool = False) -> str:
    """A mean and its interval as `.1234 [.1200, .1300]`."""
    ends = (interval.mean, interval.low, interval.high)
    mean, low, high = (format_number(value, signed) for value in ends)
    return f"{mean} [{low}, {high}]"


def format_number(value: float, signed: bool = False) -> str:
    """Four digits without a leading zero."""
    return f"{value:{'+' if signed else ''}.4f}".replace("0.", ".", 1).replace("-", MINUS)

"""What a benchmark found: a JSON file for machines, a table for people."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from eval.intervals import Interval
from eval.leaks import LeakCheck
from eval.report import (
    HYBRID,
    MODEL,
    VERDICT,
    format_interval,
    format_number,
    print_difference,
    print_notes,
)
from eval.seeds import print_training, save_result
from eval.significance import Comparison
from rec_gen.counts import MarkovKNN

COLUMNS = {"HR@10": "recall@10", "NDCG@10": "ndcg@10"}
"""The hit rate is the recall of a single held-out item."""


@dataclass(frozen=True)
class Benchmark:
    """The metrics of a recipe on the test split, over its seeds.

    Attributes:
        name: The recipe's name.
        dataset: The data set's name.
        fingerprint: The data set's fingerprint.
        exclude_seen: Whether the items of a history were taken out of its list.
        users: The number of users with an example.
        examples: The number of held-out interactions.
        protocol: How the numbers came about, in words.
        leaks: What the checks of the data set for leaks found.
        left_out: Why a baseline of the default is not among the systems, by its name.
        seeds: The seeds.
        minutes: What training took, by seed.
        prior_weight: The weight of the prior in the hybrid.
        validation: By weight, the mean NDCG@10 over the seeds on the validation split, by which
            the weight was chosen.
        systems: By system and metric (as in `recall@10`), the mean over seeds and its interval.
        by_seed: For the model and the hybrid, the means of each seed.
        differences: For the model and the hybrid, their mean less that of Markov + KNN, paired,
            with p-values that are corrected for both, and what could have been detected.
    """

    name: str
    dataset: str
    fingerprint: str
    exclude_seen: bool
    users: int
    examples: int
    protocol: str
    leaks: list[LeakCheck]
    left_out: dict[str, str]
    seeds: list[int]
    minutes: list[float]
    prior_weight: float
    validation: dict[float, float]
    systems: dict[str, dict[str, Interval]]
    by_seed: dict[str, list[dict[str, float]]]
    differences: dict[str, dict[str, Comparison]]

    @property
    def figures(self) -> dict[str, float | list[float]]:
        """The numbers by which a recipe is judged; those without a prefix are the model's."""
        found: dict[str, float | list[float]] = {}
        for system, prefix in ((MODEL, ""), (HYBRID, "hybrid_")):
            for name, metric in (("hr10", "recall@10"), ("ndcg10", "ndcg@10")):
                interval = self.systems[system][metric]
                found[f"{prefix}{name}_mean"] = interval.mean
                found[f"{prefix}{name}_ci"] = [interval.low, interval.high]
        baseline = self.systems[MarkovKNN.name]
        found["train_minutes"] = max(self.minutes)
        found["baseline_hr10"] = baseline["recall@10"].mean
        found["baseline_ndcg10"] = baseline["ndcg@10"].mean
        return found

    def save(self, path: Path, recipe: str, overrides: Sequence[str]) -> None:
        """Write all of it as JSON beside its place and rename it.

        Args:
            path: The file.
            recipe: The text of the recipe.
            overrides: What was changed in it.
        """
        save_result(path, self.figures, asdict(self), recipe, overrides)

    def render(self, console: Console) -> None:
        """Print one row per system, one per seed below, and what the differences say."""
        size = f"{self.examples:,} examples of {self.users:,} users"
        table = Table(title=f"{self.name}, test: {size}", box=box.SIMPLE_HEAD, padding=0)
        table.add_column("")
        for title in COLUMNS:
            table.add_column(title, justify="right", no_wrap=True)
        for system, metrics in self.systems.items():
            cells = (format_interval(metrics[metric]) for metric in COLUMNS.values())
            table.add_row(system, *cells)
            for seed, means in zip(self.seeds, self.by_seed.get(system, ()), strict=False):
                numbers = (format_number(means[metric]) for metric in COLUMNS.values())
                table.add_row(f"  seed {seed}", *numbers)
        console.print(table)
        for system, differences in self.differences.items():
            print_difference(console, system, MarkovKNN.name, differences[VERDICT])
        print_notes(console, self.left_out, self.leaks)
        print_training(console, self.prior_weight, "NDCG@10", self.validation, self.minutes)

"""What a conversation benchmark found: a JSON file for machines, a table for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from eval.conversation_measures import ALL, CUTOFFS, recall_name
from eval.intervals import Interval
from eval.leaks import LeakCheck
from eval.report import MODEL, format_interval, print_difference, print_notes
from eval.seeds import print_training, save_result

SHOWN = (ALL, "named", "unnamed", "apart")
"""The groups of examples of which a table is printed."""


@dataclass(frozen=True)
class ConversationBenchmark:
    """The recall of a conversation recipe on the test split, over its seeds.

    Attributes:
        name: The recipe's name.
        dataset: The data set's name.
        fingerprint: The data set's fingerprint.
        turns: The number of turns that recommend.
        examples: The number of items that they recommend, each an example.
        sizes: The number of examples in each group, see `eval.conversation_measures.groups`.
        leaks: What the checks of the data set for leaks found.
        seeds: The seeds.
        minutes: What training took, by seed.
        weight: The weight of the counted links in the hybrid.
        validation: By weight, the validation recall by which it was chosen.
        recalls: By system and measure (as in `recall10_unnamed`), the mean over seeds and its
            interval, turns being resampled.
        by_turn: By system, the mean over turns of the mean and of the least recall of their items.
        seed_means: For the model and the hybrid, the means of each seed.
        differences: For the model and the hybrid, the mean less that of each counted one, paired.
    """

    name: str
    dataset: str
    fingerprint: str
    turns: int
    examples: int
    sizes: dict[str, int]
    leaks: list[LeakCheck]
    seeds: list[int]
    minutes: list[float]
    weight: float
    validation: dict[float, float]
    recalls: dict[str, dict[str, Interval]]
    by_turn: dict[str, Mapping[str, float]]
    seed_means: dict[str, list[dict[str, float]]]
    differences: dict[str, dict[str, dict[str, Interval]]]

    @property
    def figures(self) -> dict[str, float | list[float]]:
        """The numbers by which a recipe is judged; those without a prefix are the model's."""
        found: dict[str, float | list[float]] = {}
        for system, measures in self.recalls.items():
            prefix = "" if system == MODEL else f"{system.replace(' ', '_')}_"
            for name, interval in measures.items():
                found[f"{prefix}{name}"] = interval.mean
                found[f"{prefix}{name}_ci"] = [interval.low, interval.high]
            for name, value in self.by_turn[system].items():
                found[f"{prefix}{name}"] = value
        found["named_share"] = self.sizes["named"] / self.examples
        return {**found, "train_minutes": max(self.minutes), "weight": self.weight}

    def save(self, path: Path, recipe: str, overrides: Sequence[str]) -> None:
        """Write all of it as JSON beside its place and rename it.

        Args:
            path: The file.
            recipe: The text of the recipe.
            overrides: What was changed in it.
        """
        save_result(path, self.figures, asdict(self), recipe, overrides)

    def render(self, console: Console) -> None:
        """Print a table for each group of examples, and what the differences say."""
        for group in SHOWN:
            size = f"{self.sizes[group]:,} items"
            whole = f"{self.name}, test: {size} of {self.turns:,} turns"
            table = Table(
                title=whole if group == ALL else f"{size}, {group}",
                box=box.SIMPLE_HEAD,
                padding=0,
            )
            table.add_column("")
            for k in CUTOFFS:
                table.add_column(f"recall@{k}", justify="right", no_wrap=True)
            for system, measures in self.recalls.items():
                cells = (format_interval(measures[recall_name(k, group)]) for k in CUTOFFS)
                table.add_row(system, *cells)
            console.print(table)
        for system, others in self.differences.items():
            for other, measures in others.items():
                for k in CUTOFFS[1:]:
                    print_difference(console, system, other, measures[f"recall{k}"], f"recall@{k}")
        print_notes(console, {}, self.leaks)
        print_training(console, self.weight, "recall@10", self.validation, self.minutes)

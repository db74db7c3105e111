"""What an experiment found: a JSON file for machines, a table and a verdict for people."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from eval.evaluate import SEEN_EXCLUDED, SEEN_KEPT
from eval.experiment_blocks import Answered, ArmIdentity, K
from eval.experiment_config import Arm, ExperimentConfig
from eval.experiment_slices import measure_arms
from eval.intervals import LEVEL, RESAMPLES, Interval, mean_intervals
from eval.leaks import LeakCheck
from eval.report import (
    detectable_notes,
    format_interval,
    format_number,
    in_cases,
    plain,
    print_notes,
    print_slices,
    verdict,
)
from eval.result_json import to_json
from eval.significance import FLIPS, Comparison, compare
from eval.slices import Slice, SliceResult
from rec_gen.data.dataset import Dataset, Example
from rec_gen.files import new_file, write_text
from rec_gen.metrics import Floats, Ranks, mrr, ndcg, recall
from rec_gen.versions import machine

METRICS = {f"HR@{K}": recall, f"NDCG@{K}": ndcg, f"MRR@{K}": mrr}
"""The hit rate is the recall of a single held-out item."""

DECIDING = f"NDCG@{K}"
PROTOCOL = (
    "All arms answer the same held-out interactions, each from all that came before it, over the "
    f"full catalog by constrained search. Intervals are {LEVEL} % percentile bootstrap intervals, "
    f"{RESAMPLES} resamples of users; differences are paired by example. p-values are those of "
    f"{FLIPS:,} random sign flips of users, corrected by Holm for the number of arms; those of a "
    "slice are not corrected for how many slices there are. Requests run one at a time and arm "
    "after arm; a time is that of rendering and search. Answers that were kept from an earlier run "
    "keep their times. "
)


@dataclass(frozen=True)
class ArmResult:
    """What one arm reached, and what it cost.

    Attributes:
        template: The template's name.
        version: Its version.
        sha256: Its digest.
        model: The model's name.
        model_digest: The digest of its weights and tokenizer, or of its bundle.
        spelling: How it writes items.
        history: Interactions shown at most.
        score: What its model was searched by.
        metrics: By metric, the mean over examples and its interval.
        prompt_tokens: The mean length of a prompt.
        shown: The mean number of interactions that a prompt shows.
        truncated: The share of prompts that left out interactions because they did not fit.
        certified: The share of answers that no other item could have changed.
        differences: By metric, this arm less the baseline, paired, with p-values and what could
            have been detected; empty for the baseline.
        verdict: What the difference in the deciding metric says of this arm.
        times: `latency_median_s`, `latency_p95_s`, and `tokens_per_s`, prompt tokens over time.
    """

    template: str
    version: str
    sha256: str
    model: str
    model_digest: str
    spelling: str
    history: int
    score: str
    metrics: dict[str, Interval]
    prompt_tokens: float
    shown: float
    truncated: float
    certified: float
    differences: dict[str, Comparison]
    verdict: str
    times: dict[str, float]


@dataclass(frozen=True)
class Spread:
    """How far the wordings of one prompt lie apart in the deciding metric.

    Attributes:
        arms: The arms that are wordings of it.
        low: The worst.
        mean: Their mean.
        high: The best.
    """

    arms: list[str]
    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class Experiment:
    """The whole result.

    Attributes:
        name: The experiment's name.
        dataset: The data set's name.
        fingerprint: The data set's fingerprint.
        users: How many users were asked.
        examples: How many held-out interactions.
        protocol: How the numbers came about, in words.
        config: The experiment as it was read.
        machine: Where the times were taken.
        versions: Python and the packages that the numbers rest on.
        baseline: The arm that the others are compared with.
        arms: The results by arm.
        groups: By group of wordings, how far they lie apart.
        slices: For whom an arm is better or worse; differences are of an arm less the baseline.
        verdict: What follows, in a sentence or two.
        leaks: What every check for leaks found, with every model.
        rows: One row an example and arm, see `_rows`; beside the JSON, not in it.
    """

    name: str
    dataset: str
    fingerprint: str
    users: int
    examples: int
    protocol: str
    config: dict[str, Any]
    machine: str
    versions: dict[str, str]
    baseline: str
    arms: dict[str, ArmResult]
    groups: dict[str, Spread]
    slices: list[SliceResult]
    verdict: str
    leaks: list[LeakCheck]
    rows: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False, compare=False)

    def to_json(self) -> str:
        """The whole experiment but for its rows as JSON."""
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

    def render(self, console: Console) -> None:
        """Print quality, cost and differences by arm, the spread of wordings and the verdict."""
        for table in (self._quality(), self._cost(), self._differences()):
            if table.row_count:
                console.print(table)
                console.print()
        for line in self._notes():
            console.print(line, highlight=False)
        print_slices(console, self.slices, DECIDING, f"better than {self.baseline}")
        lines = [
            f"wordings '{group}', {DECIDING}: {format_number(spread.low)} to "
            f"{format_number(spread.high)}, mean {format_number(spread.mean)}"
            for group, spread in self.groups.items()
        ]
        for line in [*lines, self.verdict]:
            console.print(line, markup=False, highlight=False)
        print_notes(console, {}, self.leaks)

    def _quality(self) -> Table:
        size = f"{self.examples:,} examples of {self.users:,} users"
        table = _table(f"{self.name}: {self.dataset}, {self.config['split']}: {size}", *METRICS)
        for name, arm in self.arms.items():
            table.add_row(
                plain(name), *(format_interval(arm.metrics[metric]) for metric in METRICS)
            )
        return table

    def _cost(self) -> Table:
        table = _table("cost", "tokens", "items", "truncated", "median s", "p95 s", "tokens/s")
        for name, arm in self.arms.items():
            table.add_row(
                plain(name),
                f"{arm.prompt_tokens:.0f}",
                f"{arm.shown:.1f}",
                f"{arm.truncated:.0%}",
                f"{arm.times['latency_median_s']:.2f}",
                f"{arm.times['latency_p95_s']:.2f}",
                f"{arm.times['tokens_per_s']:.0f}",
            )
        return table

    def _differences(self) -> Table:
        title = f"more {DECIDING} than {plain(self.baseline)}"
        table = _table(title, "difference", "p", "detectable", "verdict")
        for name, arm in self.arms.items():
            if arm.differences:
                found = arm.differences[DECIDING]
                numbers = (format_number(found.p_holm), format_number(found.detectable))
                table.add_row(
                    plain(name), format_interval(found, signed=True), *numbers, arm.verdict
                )
        return table

    def _notes(self) -> list[str]:
        compared = (arm.differences[DECIDING] for arm in self.arms.values() if arm.differences)
        return detectable_notes(compared)


def report(
    config: ExperimentConfig,
    dataset: Dataset,
    examples: Sequence[Example],
    parts: Sequence[Slice],
    answers: Mapping[str, Sequence[Answered]],
    identities: Mapping[str, ArmIdentity],
    leaks: Sequence[LeakCheck],
) -> Experiment:
    """Sum up what the arms answered.

    Args:
        config: The experiment.
        dataset: The data.
        examples: The n examples.
        parts: Parts of them that are looked at by themselves.
        answers: By arm, n answers.
        identities: By arm, what it is.
        leaks: What the checks for leaks found.
    """
    users = [example.user for example in examples]
    values = {arm: _values(answered) for arm, answered in answers.items()}
    frames = {arm: pl.DataFrame(each, schema=list(METRICS)) for arm, each in values.items()}
    differences = compare(values, config.baseline, users, config.seed)
    arms = {
        arm: _arm_result(
            answered,
            identities[arm],
            dict(zip(METRICS, mean_intervals(values[arm], users, config.seed), strict=True)),
            dict(zip(METRICS, differences.get(arm, ()), strict=False)),
        )
        for arm, answered in answers.items()
    }
    return Experiment(
        name=config.name,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        users=len(set(users)),
        examples=len(examples),
        protocol=PROTOCOL + (SEEN_EXCLUDED if config.exclude_seen else SEEN_KEPT),
        config=config.model_dump(mode="json"),
        **machine(),
        baseline=config.baseline,
        arms=arms,
        groups=_spreads(config.arms, arms),
        slices=[measure_arms(part, frames, config.baseline, users, config.seed) for part in parts],
        verdict=_sentence(arms, config.baseline, len(set(users))),
        leaks=list(leaks),
        rows=pl.concat(
            _rows(arm, answered, values[arm], dataset, examples)
            for arm, answered in answers.items()
        ),
    )


def _values(answered: Sequence[Answered]) -> Floats:
    """What each example scores, float64 [n, metrics]."""
    places = np.array([np.inf if answer.rank is None else answer.rank for answer in answered])
    ranks = Ranks.of_places(places)
    return np.stack([metric(ranks, K) for metric in METRICS.values()], axis=1)


def _rows(
    arm: str,
    answered: Sequence[Answered],
    values: Floats,
    dataset: Dataset,
    examples: Sequence[Example],
) -> pl.DataFrame:
    """What an arm answered, one row an example.

    Returns:
        `arm`, `user`, `target` (an item id), the fields of `Answered` (`rank` is null where the
        target is not listed), a column a metric, and `history` (its whole length).
    """
    answers = [asdict(answer) for answer in answered]
    fields = pl.DataFrame(answers, schema_overrides={"rank": pl.Int64}, infer_schema_length=None)
    return fields.select(
        pl.lit(arm).alias("arm"),
        pl.Series("user", [example.user for example in examples]),
        pl.Series("target", [dataset.catalog.ids[example.target] for example in examples]),
        pl.all(),
        *(pl.Series(name, column) for name, column in zip(METRICS, values.T, strict=True)),
        pl.Series("history", [len(example.history) for example in examples]),
    )


def _arm_result(
    answered: Sequence[Answered],
    identity: ArmIdentity,
    metrics: dict[str, Interval],
    differences: dict[str, Comparison],
) -> ArmResult:
    def mean(field: str) -> float:
        return round(float(np.mean([getattr(answer, field) for answer in answered])), 4)

    seconds = np.array([answer.seconds for answer in answered])
    tokens = sum(answer.tokens for answer in answered)
    return ArmResult(
        template=identity.template.name,
        version=identity.template.header["version"],
        sha256=identity.template.sha256,
        model=identity.arm.model.name,
        model_digest=identity.model_digest,
        spelling=identity.spelling,
        history=identity.arm.history,
        score=identity.score,
        metrics=metrics,
        prompt_tokens=mean("tokens"),
        shown=mean("shown"),
        truncated=round(float(np.mean([answer.left_out > 0 for answer in answered])), 4),
        certified=mean("certified"),
        differences=differences,
        verdict=verdict(differences[DECIDING]) if differences else "baseline",
        times={
            "latency_median_s": round(float(np.median(seconds)), 4),
            "latency_p95_s": round(float(np.percentile(seconds, 95)), 4),
            "tokens_per_s": round(tokens / float(seconds.sum()), 1),
        },
    )


def _spreads(arms: Sequence[Arm], results: Mapping[str, ArmResult]) -> dict[str, Spread]:
    """How far the wordings of each group lie apart, for each model and history length."""

    def group(arm: Arm) -> str:
        return f"{arm.template.group}{arm.variant}"

    marked = sorted((arm for arm in arms if arm.template.group is not None), key=group)
    spreads = {}
    for name, members in groupby(marked, key=group):
        names = [arm.name for arm in members]
        means = [results[each].metrics[DECIDING].mean for each in names]
        spreads[name] = Spread(names, min(means), float(np.mean(means)), max(means))
    return spreads


def _sentence(arms: Mapping[str, ArmResult], baseline: str, users: int) -> str:
    """Which arm is better, by how much, at what cost, and whether the difference is real."""
    best = max(arms, key=lambda arm: arms[arm].metrics[DECIDING].mean)
    reached = format_number(arms[best].metrics[DECIDING].mean)
    if best == baseline:
        worse = [arm for arm in arms if arms[arm].verdict == "worse"]
        shown = f"worse are {', '.join(worse)}" if worse else "no arm is shown to be worse"
        return f"Over {users} users no arm ranks above the baseline {best} ({reached}); {shown}."
    found = arms[best].differences[DECIDING]
    cost = arms[best].prompt_tokens / arms[baseline].prompt_tokens
    told = f"{DECIDING} {format_interval(found, signed=True)}, p {format_number(found.p_holm)}"
    price = f"for {cost:.2f} times the prompt tokens"
    if arms[best].verdict == "better":
        return f"Over {users} users {best} ({reached}) is better than {baseline}: {told}, {price}."
    shown = (
        ""
        if math.isnan(found.detectable)
        else f"; so many users show a true difference of {format_number(found.detectable)} "
        f"{in_cases(found.level)}"
    )
    return (
        f"Over {users} users {best} ({reached}) ranks highest, but is not shown to be better than "
        f"{baseline}: {told}, {price}{shown}."
    )


def _table(title: str, *columns: str) -> Table:
    """A table with a column of arms, and more to its right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("arm", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table

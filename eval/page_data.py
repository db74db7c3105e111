"""What a page is made of: the JSON file of a result, checked before anything is drawn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from eval.categories import CategoryShares
from eval.experiment_report import DECIDING, ArmResult, Spread
from eval.intervals import Interval
from eval.leaks import LeakCheck
from eval.lists import Cost
from eval.ratings import RatingEvaluation
from eval.reliability import ReliabilityBin
from eval.report import MODEL, VERDICT
from eval.result_json import Number
from eval.significance import Comparison
from eval.slices import SliceResult
from eval.unconstrained import FreeGeneration
from rec_gen.errors import DataError

F = TypeVar("F", bound=Mapping[str, Any])


def _among(name: str, found: F) -> F:
    if name not in found:
        raise ValueError(f"holds no '{name}'")
    return found


def _holds(part: SliceResult, metric: str) -> SliceResult:
    for metrics in (*part.systems.values(), *part.differences.values()):
        _among(metric, metrics)
    return part


def _has_verdict(part: SliceResult) -> SliceResult:
    _among(MODEL, part.systems)
    return _holds(part, VERDICT)


def _as_long(found: CategoryShares) -> CategoryShares:
    if {len(shares) for shares in (found.history, *found.lists.values())} != {len(found.names)}:
        raise ValueError("a list of shares is not as long as 'names'")
    return found


def _has_deciding(arm: ArmResult) -> ArmResult:
    _among(DECIDING, arm.metrics)
    return arm


Metrics = Annotated[dict[str, Interval], AfterValidator(lambda found: _among(VERDICT, found))]
Part = Annotated[SliceResult, AfterValidator(_has_verdict)]
Differences = Annotated[
    dict[str, Comparison | Interval], AfterValidator(lambda found: _among(VERDICT, found))
]
"""Results that were kept from before differences were tested hold intervals."""
Comparisons = Annotated[dict[str, Comparison], AfterValidator(lambda found: _among(VERDICT, found))]


class Result(BaseModel):
    """Base of what a file holds; keys that a page does not show are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class EvaluationResult(Result):
    """What `recgen evaluate` wrote; see `eval.report.Evaluation`."""

    dataset: str
    fingerprint: str
    split: str
    exclude_seen: bool
    seed: int
    users: int
    examples: int
    protocol: str
    versions: dict[str, str]
    systems: Annotated[dict[str, Metrics], AfterValidator(lambda found: _among(MODEL, found))]
    differences: dict[str, Comparisons]
    leaks: list[LeakCheck] = []
    left_out: dict[str, str] = {}
    summaries: dict[str, dict[str, Number]] = {}
    machine: str = ""
    costs: dict[str, Cost] = {}
    slices: list[Part] = []
    unconstrained: list[FreeGeneration] = []
    reliability: list[ReliabilityBin] = []
    categories: Annotated[CategoryShares, AfterValidator(_as_long)] | None = None
    ratings: RatingEvaluation | None = None


class ExperimentResult(Result):
    """What `recgen prompts experiment` wrote; see `eval.experiment_report.Experiment`."""

    name: str
    dataset: str
    fingerprint: str
    users: int
    examples: int
    protocol: str
    config: dict[str, Any]
    versions: dict[str, str]
    baseline: str
    arms: dict[str, Annotated[ArmResult, AfterValidator(_has_deciding)]] = Field(min_length=1)
    groups: dict[str, Spread] = {}
    slices: list[Annotated[SliceResult, AfterValidator(lambda part: _holds(part, DECIDING))]] = []
    leaks: list[LeakCheck] = []
    machine: str = ""
    verdict: str


class BenchmarkResult(Result):
    """What `recgen benchmark` wrote; see `eval.benchmark_report.Benchmark`."""

    name: str
    dataset: str
    fingerprint: str
    exclude_seen: bool
    users: int
    examples: int
    protocol: str
    versions: dict[str, str]
    machine: str
    seeds: list[int]
    minutes: list[float]
    prior_weight: float
    validation: dict[float, float]
    systems: dict[str, Metrics] = Field(min_length=1)
    by_seed: dict[str, list[dict[str, Number]]]
    differences: dict[str, Differences]
    leaks: list[LeakCheck] = []
    left_out: dict[str, str] = {}


class FiguresResult(Result):
    """What a benchmark of `eval.benchmarks` measured: numbers by name."""

    figures: dict[str, Any]
    machine: str = ""
    versions: dict[str, str] = {}


class LossPoint(Result):
    """The training loss, as it was logged once."""

    step: int
    tokens: int | None
    value: float


class ValidationPoint(Result):
    """What one validation found."""

    step: int
    tokens: int | None
    validation_loss: float | None
    ndcg: float
    recall: float


class RunCurves(Result):
    """The curves of a training run."""

    losses: list[LossPoint]
    validations: list[ValidationPoint]

    @property
    def count_tokens(self) -> bool:
        """Whether each point says how many tokens were read."""
        points: list[LossPoint | ValidationPoint] = [*self.losses, *self.validations]
        return all(point.tokens is not None for point in points)


KINDS: dict[str, type[Result]] = {
    "arms": ExperimentResult,
    "by_seed": BenchmarkResult,
    "systems": EvaluationResult,
    "figures": FiguresResult,
}
"""The first key that a file holds says what it is."""


def read_result(path: Path) -> Result:
    """Read the JSON file of a result.

    Raises:
        DataError: It cannot be read, is no result, or lacks something that a page shows.
    """
    try:
        table = from_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}: is not valid JSON: {error}") from error
    return parse_result(table, str(path))


def parse_result(table: Any, origin: str) -> Result:
    """Check the content of a result's file; `origin` names it in errors.

    Raises:
        DataError: It is no result, or lacks something that a page shows.
    """
    for key, kind in KINDS.items():
        if isinstance(table, dict) and key in table:
            return validate(kind, table, origin)
    raise DataError(
        f"{origin}: is no result of recgen: none of the keys {', '.join(KINDS)} is in it; give a "
        "JSON file of recgen evaluate, benchmark or prompts experiment, or a run folder"
    )


R = TypeVar("R", bound=Result)


def validate(kind: type[R], table: Any, origin: str) -> R:
    """Check a table against what a page reads of it.

    Raises:
        DataError: Something is missing or wrong; the first such key is named.
    """
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top level)"
        count = error.error_count() - 1
        more = f" (and {count} more)" if count else ""
        raise DataError(f"{origin}: key '{key}': {first['msg']}{more}: write it anew") from error

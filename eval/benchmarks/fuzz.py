"""The promise of decoding on random cases: `python -m eval.benchmarks.fuzz --json FILE`.

Random catalogs, filters, exclusions, beams and scores, with weights that are NaN, infinite or huge
in a third of all cases. Every answer is checked against the scores of all items, found without a
trie: legal and different items, as many as there can be, the right scores in falling order, and the
best ones wherever the search says so. Weights that are NaN or infinite must be named.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from eval.benchmarks.fuzz_cases import Case, random_case
from eval.benchmarks.fuzz_model import Floats, TableRuntime, prompt_hashes, reference
from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.search import SearchResult, search
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import ModelError, NoEligibleItemError
from rec_gen.files import write_text
from rec_gen.versions import machine

FAILURES = (
    "illegal_items", "duplicates", "wrong_counts", "wrong_scores", "wrong_best", "nan_silent",
    "false_errors",
)  # fmt: skip
"""The counts that should be 0."""
SHOWN = 20


@dataclass
class Tally:
    """What came of the cases.

    Attributes:
        cases: Searches.
        requests: Requests that were answered.
        items: Items that were returned.
        certified: Answers said to be the best.
        exact: Answers asked to be the best.
        spoilt_cases: Searches of a model with NaN or infinity in its weights.
        nan_named: Searches refused for their weights, by the model's name.
        empty_named: Searches refused for a request without an eligible item, by its index.
        illegal_items: Items that are not eligible or not in the catalog.
        duplicates: Items that stand twice in an answer.
        wrong_counts: Answers with more or fewer items than `min(k, eligible)`.
        wrong_scores: Answers out of order, or with a score that is not the item's.
        wrong_best: Answers that were to be the best, or say so, and are not.
        nan_silent: Answers that rest on NaN or infinity.
        false_errors: Errors without a cause, or that name no model or the wrong request.
    """

    cases: int = 0
    requests: int = 0
    items: int = 0
    certified: int = 0
    exact: int = 0
    spoilt_cases: int = 0
    nan_named: int = 0
    empty_named: int = 0
    illegal_items: int = 0
    duplicates: int = 0
    wrong_counts: int = 0
    wrong_scores: int = 0
    wrong_best: int = 0
    nan_silent: int = 0
    false_errors: int = 0

    @property
    def failures(self) -> int:
        """How much went wrong."""
        return sum(getattr(self, name) for name in FAILURES)

    def run(self, case: Case) -> None:
        """Search, and count what came of it."""
        self.cases += 1
        self.spoilt_cases += _has_nan(case)
        allowed, runtime = case.allowed(), TableRuntime(case.table)
        try:
            results = _answers(case, runtime)
        except NoEligibleItemError as error:
            empty = [request for request, row in enumerate(allowed) if not row.any()]
            named = empty[:1] == [error.request]
            self.empty_named += int(named)
            self.false_errors += int(not named)
        except ModelError as error:
            # under `catalog` nothing is left to renormalise where all live children are -inf
            cause = _has_nan(case) or (case.score == "catalog" and bool(case.table.isinf().any()))
            named = cause and runtime.name in str(error)
            self.nan_named += named
            self.false_errors += not named
        else:
            for row, root in enumerate(prompt_hashes(case.prompts).tolist()):
                scores, bounds = reference(case.table, root, case.paths, allowed[row], case.score)
                self._check(case, results[row], allowed[row], scores, bounds)

    def _check(
        self,
        case: Case,
        result: SearchResult,
        allowed: npt.NDArray[np.bool_],
        scores: Floats,
        bounds: Floats,
    ) -> None:
        items, given = result.items, np.array(result.scores)
        self.requests += 1
        self.items += len(items)
        self.certified += result.certified
        self.exact += case.exact
        illegal = sum(not 0 <= item < len(allowed) or not allowed[item] for item in items)
        self.illegal_items += illegal
        self.duplicates += len(items) - len(set(items))
        self.wrong_counts += len(items) != min(case.k, int(allowed.sum()))
        if illegal or not items:
            return
        best = -np.sort(-bounds)[: len(items)]
        unread = bounds[np.isnan(scores) & allowed] > given[-1] + case.resolution
        if np.isnan(scores[items]).any() or (result.certified and unread.any()):
            self.nan_silent += 1
            return
        falling = bool((given[1:] <= given[:-1]).all())
        self.wrong_scores += not (falling and _close(given, scores[items], case))
        if result.certified or case.exact:
            self.wrong_best += not (result.certified and _close(given, best, case))


def _answers(case: Case, runtime: TableRuntime) -> list[SearchResult]:
    flat = case.paths[case.paths >= 0].astype(np.int32)
    trie = CatalogTrie.build_ragged(flat, (case.paths >= 0).sum(1))
    shared = LeafFilter(trie, case.eligible)
    leaves = EligibleLeaves(shared, case.excluded)
    return search(
        runtime, case.prompts, trie, leaves, case.k, case.beam_width, case.score, exact=case.exact
    )


def _has_nan(case: Case) -> bool:
    return bool((case.table.isnan() | case.table.isposinf()).any())


def _close(given: Floats, expected: Floats, case: Case) -> bool:
    return np.allclose(given, expected, rtol=1e-9, atol=case.resolution)


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--cases", default=100_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--first", default=0, show_default=True, help="The number of the first case.")
def main(json_path: Path | None, cases: int, seed: int, first: int) -> None:
    """Count broken promises in random cases."""
    tally = Tally()
    failed = []
    numbers = range(first, first + cases)
    for number in track(numbers, "cases", console=Console(stderr=True)):
        before = tally.failures
        tally.run(random_case(np.random.default_rng([seed, number])))
        if tally.failures > before:
            failed.append(number)
    figures = asdict(tally)
    table = Table("count", "of it")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}", style="bold" if name in FAILURES else None)
    Console().print(table)
    if failed:
        Console().print(f"{len(failed)} cases failed, first of all {failed[:SHOWN]}")
    if json_path:
        report = {"figures": figures, "seed": seed} | machine()
        write_text(json_path, json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()

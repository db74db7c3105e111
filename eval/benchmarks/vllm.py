"""vLLM against transformers: `python -m eval.benchmarks.vllm BUNDLE --json FILE`.

First, the same lists: 500 test users of the bundle's data, ten items each without what they know,
from transformers, from the search on top of a vLLM engine and from the search inside its worker, in
float32 and with both scores; then transformers and the engine in bfloat16. Then, the same work in
turns in one process: vLLM's beam search with the trie as a logits processor, the two searches of
rec_gen, and transformers alone. All under the `catalog` score, which is the processor's, and over
the whole catalog, since a processor of beams knows of no user. The parts of the engine's time are
measured in a turn of their own.
"""

import json
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from eval.background import held_out
from eval.benchmarks.vllm_settings import share_the_cpu
from rec_gen.answers import Answer
from rec_gen.bundle import MODEL, TOKENIZER, Bundle
from rec_gen.cli.common import Command, bundle_dataset
from rec_gen.data.dataset import Split
from rec_gen.decoding.vllm_runtime import VLLMRuntime
from rec_gen.errors import BundleError
from rec_gen.files import write_text
from rec_gen.models import cast_weights
from rec_gen.notices import quiet
from rec_gen.prompting import prompt_ids
from rec_gen.recommender import Recommender
from rec_gen.versions import machine

K, BATCH, SEED, TOLERANCE = 10, 32, 0, 1e-4
DEEP = 50
"""Items that the float32 model scores to say how near those are that bfloat16 swaps."""
COUNT = click.IntRange(min=1)
Lists = list[list[tuple[str, float]]]


class Contest:
    """One bundle behind all contestants.

    Attributes:
        histories: The histories of the users.
        plain: Transformers alone.
        engine: The search on top of an engine.
    """

    def __init__(self, path: Path, users: int) -> None:
        from vllm import LLM

        from eval.benchmarks.vllm_beam import BeamSearch
        from rec_gen.vllm_worker import EXTENSION

        self.plain = Recommender.load(path, device="cpu")
        bundle = self.plain.bundle
        if bundle.manifest.base is not None or bundle.manifest.dtype != "float32":
            raise BundleError(f"{path}: give a whole model in float32, so that scores compare")
        dataset = bundle_dataset(bundle)
        examples = held_out(dataset, Split.TEST)
        chosen = np.random.default_rng(SEED).permutation(len(examples))[:users]
        ids = dataset.catalog.ids
        self.histories = [[ids[item] for item in examples[row].history] for row in chosen]
        self._path = path
        self._options: dict[str, Any] = {
            "model": str(path / MODEL),
            "tokenizer": str(path / TOKENIZER),
            "enforce_eager": True,
            "block_size": 32,
        }
        self.llm = LLM(**self._options, dtype="float32", worker_extension_cls=EXTENSION)
        (self.shared,) = self.llm.collective_rpc("recgen_load", args=(str(path),))
        self.bare = Bundle.load(path, weights=False)
        self.engine = Recommender(self.bare, VLLMRuntime.offline(self.llm))
        self.beam = BeamSearch(bundle, K, **self._options, dtype="float32")

    def inside(self, histories: Sequence[Sequence[str]], **options: Any) -> Lists:
        """The search inside the worker."""
        (said,) = self.llm.collective_rpc("recgen_call", args=("recommend", [histories], options))
        return [list(zip(one["items"], one["scores"], strict=True)) for one in said["found"]]

    def halves(self) -> tuple[Recommender, Recommender]:
        """Transformers and the engine in bfloat16."""
        from vllm import LLM

        bundle = Bundle.load(self._path)
        cast_weights(bundle.model, torch.bfloat16)
        # kept, as the first engine that goes takes what all of a process share with it
        self._halved = LLM(**self._options, dtype="bfloat16")
        return Recommender(bundle), Recommender(self.bare, VLLMRuntime.offline(self._halved))

    def prompts(self, histories: Sequence[Sequence[str]]) -> list[list[int]]:
        """What is read for histories, as the beam search gets it; its turns pay for it too."""
        renderer, places = self.plain.bundle.renderer(), self.plain.catalog.positions
        read = [[places[item] for item in history] for history in histories]
        return [prompt_ids(renderer, row, items) for row, items in enumerate(read)]


def lists(answers: Sequence[Answer]) -> Lists:
    """Ids and scores."""
    return [[(found.item.id, found.score) for found in answer] for answer in answers]


def differing(mine: Lists, theirs: Lists) -> tuple[int, int, float]:
    """How many lists differ, how many of these by more than ties, and the largest difference.

    Two lists tie where at each rank with another item the scores differ by at most `TOLERANCE`.
    """
    other, beyond, largest = 0, 0, 0.0
    for one, two in zip(mine, theirs, strict=True):
        gaps = [abs(a[1] - b[1]) for a, b in zip(one, two, strict=True)]
        swapped = [a[0] != b[0] for a, b in zip(one, two, strict=True)]
        largest = max(largest, *gaps)
        other += any(swapped)
        beyond += any(gap > TOLERANCE for gap, swap in zip(gaps, swapped, strict=True) if swap)
    return other, beyond, largest


def sameness(contest: Contest) -> dict[str, float]:
    """How the lists of the two searches over vLLM differ from those of transformers, float32."""
    figures: dict[str, float] = {"users": len(contest.histories)}
    for score in ("catalog", "lm"):
        options: dict[str, Any] = {"k": K, "score": score}
        mine = lists(contest.plain.recommend(contest.histories, **options))
        for name, theirs in (
            ("engine", lists(contest.engine.recommend(contest.histories, **options))),
            ("inside", contest.inside(contest.histories, **options)),
        ):
            other, beyond, largest = differing(mine, theirs)
            figures |= {
                f"{score}_{name}_other_lists": other,
                f"{score}_{name}_beyond_ties": beyond,
                f"{score}_{name}_largest_difference": largest,
            }
    return figures


def rival(contest: Contest, size: int) -> dict[str, float]:
    """How many of the ten best items each kind of beam search finds, both of width ten."""
    batch = contest.histories[:size]
    options: dict[str, Any] = {"k": K, "score": "catalog", "exclude_seen": False}
    best, mine = (
        [
            [item for item, _ in one]
            for one in lists(contest.plain.recommend(batch, **options, **own))
        ]
        for own in ({"exact": True}, {"beam_width": K})
    )
    theirs = contest.beam.search(contest.prompts(batch))

    def found(some: Sequence[Sequence[str | None]]) -> float:
        pairs = zip(some, best, strict=True)
        return sum(len(set(one) & set(all_)) for one, all_ in pairs) / (K * len(best))

    return {
        "beam_search_of_best_ten": found(theirs),
        "search_of_best_ten": found(mine),
        "beam_search_invalid_items": sum(one.count(None) for one in theirs),
    }


def halved(contest: Contest) -> dict[str, float]:
    """How the lists in bfloat16 differ, and how near the float32 scores of swapped items are.

    All searches are exact, so that no beam decides. A swap is explained where the float32 scores
    are no further apart than the errors of both runtimes on both items together.
    """
    plain, engine, exact = (
        lists(one.recommend(contest.histories, DEEP, score="catalog", exact=True))
        for one in (*contest.halves(), contest.plain)
    )
    same, shared, unexplained = 0, 0, 0
    gaps: list[float] = []
    errors: list[float] = []
    for one, two, deep in zip(plain, engine, exact, strict=True):
        scores, known = dict(deep), [dict(one), dict(two)]
        mine, theirs = ([item for item, _ in each[:K]] for each in (one, two))
        same += mine == theirs
        shared += len(set(mine) & set(theirs))
        wrong = {
            item: [abs(own[item] - scores[item]) for own in known]
            for item in scores
            if all(item in own for own in known)
        }
        errors += [error for item in {*mine, *theirs} & wrong.keys() for error in wrong[item]]
        for pair in swapped(mine, theirs):
            if not all(item in wrong for item in pair):
                unexplained += 1
                continue
            gaps.append(abs(scores[pair[0]] - scores[pair[1]]))
            unexplained += gaps[-1] > sum(sum(wrong[item]) for item in pair)
    neighbours = np.concatenate([-np.diff([score for _, score in deep[:K]]) for deep in exact])
    return {
        "bf16_same_lists": same,
        "bf16_shared_items": shared / (K * len(plain)),
        "bf16_swapped_pairs": len(gaps),
        "bf16_swaps_unexplained": unexplained,
        "bf16_swapped_gap_median": median(gaps) if gaps else 0.0,
        "bf16_swapped_gap_largest": max(gaps, default=0.0),
        "bf16_score_error_median": median(errors),
        "bf16_score_error_largest": max(errors),
        "float32_gap_of_neighbours_median": float(np.median(neighbours)),
    }


def swapped(mine: list[str], theirs: list[str]) -> list[tuple[str, str]]:
    """The pairs of items that two lists put in opposite orders; what a list lacks comes last."""
    places = [{item: place for place, item in enumerate(one)} for one in (mine, theirs)]
    items = sorted({*mine, *theirs})
    return [
        (one, two)
        for one, two in combinations(items, 2)
        if np.prod([each.get(one, K) - each.get(two, K) for each in places]) < 0
    ]


def race(contest: Contest, rounds: int, size: int) -> dict[str, float]:
    """The requests a second of each contestant, the median of turns of `size` users each.

    No turn has the users of another, as a prompt that vLLM has read once costs it nothing more.
    """
    options: dict[str, Any] = {
        "k": K, "score": "catalog", "beam_width": K, "exclude_seen": False, "batch_size": size,
    }  # fmt: skip
    contestants: dict[str, Callable[[list[list[str]]], object]] = {
        "beam_search": lambda batch: contest.beam.search(contest.prompts(batch)),
        "engine": lambda batch: contest.engine.recommend(batch, **options),
        "inside": lambda batch: contest.inside(batch, **options),
        "transformers": lambda batch: contest.plain.recommend(batch, **options),
    }
    turns: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        first = turn * size % max(1, len(contest.histories) - size + 1)
        batch = contest.histories[first : first + size]
        for llm in (contest.llm, contest.beam.llm):
            llm.reset_prefix_cache()
        for name, run in contestants.items():
            start = time.perf_counter()
            run(batch)
            if turn:
                turns[name].append(time.perf_counter() - start)
    return {name: len(batch) / median(times) for name, times in turns.items()}


def anatomy(contest: Contest, size: int) -> dict[str, dict[str, float]]:
    """Where the time of the engine goes, in milliseconds a request: beam search, and the search."""
    from eval.benchmarks.vllm_clock import EngineClock

    batch = contest.histories[:size]
    options: dict[str, Any] = {
        "k": K, "score": "catalog", "beam_width": K, "exclude_seen": False, "batch_size": size,
    }  # fmt: skip
    runs: dict[str, tuple[Any, Callable[[], object]]] = {
        "beam_search": (
            contest.beam.llm,
            lambda: contest.beam.search(contest.prompts(batch)),
        ),
        "engine": (contest.llm, lambda: contest.engine.recommend(batch, **options)),
    }
    rows = {}
    for name, (llm, run) in runs.items():
        clock = EngineClock(llm)
        llm.reset_prefix_cache()
        parts = clock.measure(run)
        rows[name] = {part: round(1000 * spent / size, 3) for part, spent in parts.items()}
        rows[name] |= {"asked": clock.requests / size, "steps": clock.steps}
    return rows


@click.command(cls=Command)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--users", type=COUNT, default=500, show_default=True, help="Users whose lists are.")
@click.option("--batch", type=COUNT, default=BATCH, show_default=True, help="Users of a turn.")
@click.option("--rounds", type=COUNT, default=7, show_default=True, help="Turns of each.")
def main(bundle: Path, json_path: Path | None, users: int, batch: int, rounds: int) -> None:
    """Compare vLLM and transformers on a BUNDLE in float32."""
    quiet()
    share_the_cpu()
    contest = Contest(bundle, users)
    figures = sameness(contest) | halved(contest) | rival(contest, batch)
    for size in sorted({1, batch}):
        rates = race(contest, rounds, size)
        figures |= {f"{name}_rps_{size}": rate for name, rate in rates.items()}
        for name in ("engine", "inside"):
            figures[f"{name}_over_beam_search_rps_{size}"] = rates[name] / rates["beam_search"]
    best = max(("engine", "inside"), key=lambda name: figures[f"{name}_rps_{batch}"])
    figures["vllm_over_beam_search_rps"] = figures[f"{best}_over_beam_search_rps_{batch}"]
    parts = anatomy(contest, batch)
    figures = {name: float(f"{value:.4g}") for name, value in figures.items()}
    table = Table("ms a request", *parts["beam_search"])
    for name, row in parts.items():
        table.add_row(name, *map(str, row.values()))
    Console(width=160).print(table)
    Console().print_json(json.dumps(figures))
    if json_path:
        manifest = contest.plain.bundle.manifest
        lengths = [len(prompt) for prompt in contest.prompts(contest.histories)]
        report = {
            "figures": figures,
            "milliseconds_a_request": parts,
            "bundle": {"name": manifest.name, "digest": manifest.digest, "scheme": manifest.scheme},
            "items": len(contest.plain.catalog),
            "longest_spelling": max(map(len, contest.plain.bundle.spellings.tokens)),
            "prompt_tokens_mean": round(float(np.mean(lengths)), 1),
            "inside_shares_weights": contest.shared,
            "tolerance": TOLERANCE,
            "batch": batch,
            "rounds": rounds,
            "seed": SEED,
            "threads": torch.get_num_threads(),
            "data": manifest.fingerprint,
        }
        write_text(json_path, json.dumps(report | machine(), indent=2) + "\n")


if __name__ == "__main__":
    main()

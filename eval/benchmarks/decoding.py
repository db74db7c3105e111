"""How fast constrained search is: `python -m eval.benchmarks.decoding --json FILE`.

SmolLM2-135M in bf16 on MovieLens-100K titles, 8 users of about 290 tokens, 10 items each, seen
items left out. In turn: this search with both scores and two beams, beam search with a mask over
the whole vocabulary, transformers' `generate` with a prefix function, and one bare prefill of the
same prompts by transformers as the limit. Then the trie alone on random semantic IDs and titles,
and the filters inside requests to a catalog of a million items.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from eval.benchmarks.contest import USERS, Contest
from eval.benchmarks.index import index_figures
from eval.benchmarks.request import filter_figures
from rec_gen.files import write_text
from rec_gen.versions import machine

RIVALS = ("mask", "transformers")


@dataclass
class Turns:
    """What a contestant took.

    Attributes:
        seconds: Of each turn.
        forwards: Of the last turn.
        tokens: Of the last turn.
        illegal: Items that the answers of all turns lack of ten different eligible ones.
    """

    seconds: list[float] = field(default_factory=list)
    forwards: int = 0
    tokens: int = 0
    illegal: int = 0


def race(
    contest: Contest, contestants: dict[str, Callable[[], None]], rounds: int
) -> dict[str, Turns]:
    """Let contestants take turns."""
    turns = {name: Turns() for name in contestants}
    everyone = list(contestants.items()) * rounds
    for name, run in track(everyone, "turns", console=Console(stderr=True)):
        contest.begin_turn()
        start = time.perf_counter()
        run()
        turns[name].seconds.append(time.perf_counter() - start)
        turns[name].forwards, turns[name].tokens = contest.forwards, contest.tokens
        turns[name].illegal += contest.illegal
    return turns


def search_figures(contest: Contest, rounds: int) -> dict[str, dict[str, float]]:
    """The median seconds of each contestant, in prefills too, with forwards and tokens."""

    def engine(score: str, beam_width: int, *, exact: bool = False) -> Callable[[], None]:
        return lambda: contest.search(score=score, beam_width=beam_width, exact=exact)

    contest.prefill()
    turns = race(
        contest,
        {
            "prefill": contest.prefill,
            "catalog": engine("catalog", 10),
            "lm": engine("lm", 10),
            "catalog_beam_50": engine("catalog", 50),
            "lm_beam_50": engine("lm", 50),
            "exact_catalog": engine("catalog", 10, exact=True),
        },
        rounds,
    )
    slow = {
        "exact_lm": engine("lm", 50, exact=True),
        "mask": contest.mask,
        "transformers": contest.generate,
    }
    turns |= race(contest, slow, 1)
    prefill = median(turns["prefill"].seconds)
    return {
        name: {
            "seconds": round(median(turn.seconds), 3),
            "over_prefill": round(median(turn.seconds) / prefill, 3),
            "forwards": turn.forwards,
            "tokens_per_request": round(turn.tokens / USERS, 1),
            "illegal": turn.illegal,
            "turns": len(turn.seconds),
        }
        for name, turn in turns.items()
    }


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--rounds", default=5, show_default=True, help="Turns of each fast contestant.")
def main(json_path: Path | None, rounds: int) -> None:
    """Measure the search, the trie and the filters."""
    contest = Contest()
    contestants = search_figures(contest, rounds)
    table = Table("contestant", *contestants["prefill"])
    for name, row in contestants.items():
        table.add_row(name, *map(str, row.values()))
    Console().print(table)
    over = {
        f"{name}_over_prefill": row["over_prefill"]
        for name, row in contestants.items()
        if name != "prefill"
    }
    figures = {
        **over,
        "prefill_s": contestants["prefill"]["seconds"],
        **index_figures(np.random.default_rng(0)),
        **filter_figures(),
        "illegal_items": sum(
            row["illegal"] for name, row in contestants.items() if name not in RIVALS
        ),
    }
    figures = {name: round(value, 4) for name, value in figures.items()}
    Console().print_json(json.dumps(figures))
    if json_path:
        report = {
            "figures": figures,
            "contestants": contestants,
            "data": contest.dataset.fingerprint,
        }
        write_text(json_path, json.dumps(report | machine(), indent=2) + "\n")


if __name__ == "__main__":
    main()

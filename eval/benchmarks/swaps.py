"""Catalog swaps under load: `python -m eval.benchmarks.swaps --json FILE`.

A random model serves several threads while its catalog is swapped between two, each swap with items
added, removed and edited. Every answer must be right for one of the two catalogs: its items, their
titles and fields, how many they are, and what was filtered out. Then one change of a large catalog.
"""

import gc
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from threading import Event

import click
import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import track

from rec_gen.answers import Recommendation
from rec_gen.catalog import Catalog, Item
from rec_gen.errors import NoEligibleItemError
from rec_gen.files import write_text
from rec_gen.index import Index
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from rec_gen.versions import machine

ITEMS, K, ROUNDS = 40, 5, 5
Items = dict[str, Item]


@dataclass
class Tally:
    """What one thread was answered.

    Attributes:
        answers: Requests that came to an end.
        invalid: Answers that are right for neither catalog.
        overtaken: Answers during which the catalog was swapped.
    """

    answers: int = 0
    invalid: int = 0
    overtaken: int = 0


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        history: Item ids.
        k: How many items.
        block: Item ids that must not come.
        edition: The only edition that may come, if any.
    """

    history: list[str]
    k: int
    block: list[str] = field(default_factory=list)
    edition: int | None = None

    def ask(self, recommender: Recommender) -> Sequence[Recommendation]:
        """The answer; empty if nothing was eligible."""
        where = None if self.edition is None else f"edition == {self.edition}"
        try:
            return recommender.recommend([self.history], self.k, block=self.block, where=where)[0]
        except NoEligibleItemError:
            return []

    def is_answered(self, answer: Sequence[Recommendation], catalog: Items) -> bool:
        """Whether an answer is right for a catalog."""
        out = {*self.history, *self.block}
        eligible = {
            item.id: item
            for item in catalog.values()
            if item.id not in out and self.edition in (None, item.fields["edition"])
        }
        found = {recommendation.item.id: recommendation.item for recommendation in answer}
        right = all(eligible.get(item) == found[item] for item in found)
        return right and len(found) == len(answer) == min(self.k, len(eligible))


def two_catalogs() -> tuple[Items, Items]:
    """Two editions: every item has another field, some another title, some are in one only."""
    first = {f"i{n}": Item(f"i{n}", f"Film {n}", {"edition": 0}) for n in range(ITEMS)}
    second = {
        item.id: replace(item, fields={"edition": 1}, title=item.title + "!" * (n % 5 == 0))
        for n, item in enumerate(first.values())
    }
    for n in range(ITEMS):
        if n % 4 == 1:
            del (first if n % 8 == 1 else second)[f"i{n}"]
    return first, second


def requests(seed: int) -> Iterator[Request]:
    """Requests without end: short and complete lists, with and without filters."""
    rng = np.random.default_rng(seed)
    known = sorted(set().union(*two_catalogs()) - {f"i{n}" for n in range(ITEMS) if n % 8 == 1})
    while True:
        history = rng.choice(known, size=rng.integers(5)).tolist()
        yield Request(history, K)
        yield Request(history, ITEMS)
        yield Request(history, K, block=rng.choice(known, size=3).tolist())
        yield Request(history, ITEMS, edition=int(rng.integers(2)))


def serve(recommender: Recommender, catalogs: tuple[Items, Items], seed: int, stop: Event) -> Tally:
    """Ask and check until told to stop."""
    tally = Tally()
    for request in requests(seed):
        if stop.is_set():
            break
        version = recommender.version
        answer = request.ask(recommender)
        tally.answers += 1
        tally.overtaken += recommender.version != version
        tally.invalid += not any(request.is_answered(answer, catalog) for catalog in catalogs)
    return tally


def swap_figures(swaps: int, threads: int) -> dict[str, float]:
    """Swap the catalog back and forth while threads ask."""
    catalogs = two_catalogs()
    items = [{"item": i.id, "title": i.title, **i.fields} for i in catalogs[0].values()]
    recommender = Recommender(random_bundle(Catalog(pl.DataFrame(items)), "title"))
    stop, seconds, warm = Event(), [], 0.0
    with ThreadPoolExecutor(threads) as pool:
        served = [pool.submit(serve, recommender, catalogs, n, stop) for n in range(threads)]
        try:
            for swap in track(range(swaps), "swapping", console=Console(stderr=True)):
                old, new = catalogs[swap % 2], catalogs[1 - swap % 2]
                gone = old.keys() - new.keys()
                start = time.perf_counter()
                recommender.update(put=new.values(), remove=gone)
                seconds.append(time.perf_counter() - start)
                if swap == swaps // 5:
                    warm = _resident_mb()
        finally:
            stop.set()
        tallies = [future.result() for future in served]
    end = _resident_mb()
    return {
        "swaps": recommender.version,
        "answers": sum(tally.answers for tally in tallies),
        "invalid_answers": sum(tally.invalid for tally in tallies),
        "answers_overtaken_by_a_swap": sum(tally.overtaken for tally in tallies),
        "swap_ms": 1e3 * median(seconds),
        "resident_mb_after_a_fifth": warm,
        "resident_mb_at_the_end": end,
        "indexes_alive": sum(type(found) is Index for found in gc.get_objects()),
    }


def change_figures(titles: int) -> dict[str, float]:
    """One change of a large catalog of titles, while nobody asks; the median of a few."""
    rng = np.random.default_rng(0)
    words = [f"{first}{second}" for first in "bdfgklmnprstvz" for second in ("a", "ee", "o", "un")]
    names = [" ".join(row).capitalize() for row in rng.choice(words, size=(titles, 4))]
    frame = {
        "item": map(str, range(titles)),
        "title": names,
        "price": rng.integers(99, size=titles),
    }
    catalog = Catalog(pl.DataFrame({name: list(column) for name, column in frame.items()}))
    recommender = Recommender(random_bundle(catalog, "title"))
    price = {"price": 1}
    changes: dict[str, Callable[[int], object]] = {
        "add": lambda n: recommender.put_items([Item(f"new {n}", f"New item {n}", price)]),
        "edit_price": lambda n: recommender.put_items([replace(catalog[n], fields=price)]),
        "remove": lambda n: recommender.remove_items([str(n)]),
    }
    figures = {}
    for name, change in changes.items():
        seconds = []
        for n in range(ROUNDS):
            start = time.perf_counter()
            change(n)
            seconds.append(time.perf_counter() - start)
        figures[f"{name}_one_of_{titles}_ms"] = 1e3 * median(seconds)
    return figures


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--swaps", default=10_000, show_default=True)
@click.option("--threads", default=4, show_default=True, help="Threads that ask meanwhile.")
@click.option("--titles", default=100_000, show_default=True, help="Items of the large catalog.")
def main(json_path: Path | None, swaps: int, threads: int, titles: int) -> None:
    """Swap catalogs under load and check every answer."""
    figures = swap_figures(swaps, threads) | change_figures(titles)
    figures = {name: round(value, 2) for name, value in figures.items()}
    Console().print_json(json.dumps(figures))
    if json_path:
        report = {"figures": figures, "threads": threads} | machine()
        write_text(json_path, json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""The tables of the benchmark of attacks, in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

EXPOSURE, NDCG = "exposure@10", "NDCG@10"


def tables(figures: Mapping[str, Any]) -> Iterator[str]:
    """The lines of all tables that were measured."""
    if profiles := figures.get("profiles"):
        for system, rows in profiles["systems"].items():
            yield from _table(system, rows)
        names = list(next(iter(profiles["detection"].values())))
        yield from _lines(["screening of", *names])
        for attack, row in profiles["detection"].items():
            name = attack.removesuffix(", screening")
            yield from _lines([name, *(f"{row[key]:.4g}" for key in names)], head=False)
    if titles := figures.get("titles"):
        for kind, rows in titles.items():
            yield from _table(f"{kind} titles", rows)
    if instructions := figures.get("instructions"):
        yield from _table(f"planted titles, {instructions['users']} users", instructions["arms"])


def _table(name: str, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield from _lines([name, EXPOSURE, "change", NDCG, "change"])
    for label, row in rows.items():
        cells = [
            cell
            for measure in (EXPOSURE, NDCG)
            for cell in (_interval(row[measure]), _interval(row.get(f"change of {measure}"), "+"))
        ]
        yield from _lines([label, *cells], head=False)


def _lines(cells: Sequence[str], *, head: bool = True) -> Iterator[str]:
    if head:
        yield ""
    yield f"| {' | '.join(cells)} |"
    if head:
        yield "|---" * len(cells) + "|"


def _interval(interval: Mapping[str, float] | None, sign: str = "") -> str:
    if interval is None:
        return ""
    mean, low, high = (f"{interval[end]:{sign}.4f}" for end in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"

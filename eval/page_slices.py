"""The page's parts on slices: for whom one system is better than another."""

from collections.abc import Iterator, Sequence

from eval.page_parts import (
    MARKS,
    Cell,
    Section,
    Table,
    axis_end,
    count_cell,
    interval_cell,
)
from eval.plots import interval_plot
from eval.report import slice_notes, slice_verdict
from eval.slices import SliceResult
from rec_gen.text import clean_text

OPEN = 5
"""A slicing with more parts is folded."""


def slicings(
    slices: Sequence[SliceResult], metric: str, note: str, accent: Sequence[str]
) -> Iterator[Section]:
    """A section for each way in which the examples are sliced; see `slicing`."""
    for by in dict.fromkeys(part.by for part in slices):
        parts = [part for part in slices if part.by == by]
        title = f"{metric.upper()} by {clean_text(by)}"
        yield slicing(title, parts, metric, note, accent, folded=len(parts) > OPEN)


def slicing(
    title: str,
    parts: Sequence[SliceResult],
    metric: str,
    note: str,
    accent: Sequence[str],
    *,
    folded: bool = False,
) -> Section:
    """A plot a slice on one axis, and a table of all.

    Args:
        title: Of the section.
        parts: The slices.
        metric: What is shown of each system.
        note: What the marks say.
        accent: Systems that stand out.
        folded: Whether the section begins closed.
    """
    end = axis_end(found[metric].high for part in parts for found in part.systems.values())
    plots = [
        interval_plot(
            f"{clean_text(part.value)}: {part.users:,} users",
            {system: found[metric] for system, found in part.systems.items()},
            metric.upper(),
            accent=accent,
            end=end,
        )
        for part in parts
    ]
    systems = list(parts[0].systems)
    rows = [
        [
            Cell(clean_text(part.value)),
            count_cell(part.users),
            count_cell(part.examples),
            *(_cell(part, system, metric) for system in systems),
        ]
        for part in parts
    ]
    table = Table(title, ["slice", "users", "examples", *systems], rows)
    return Section(title, plots, [table], [note, *slice_notes(parts)], folded)


def _cell(part: SliceResult, system: str, metric: str) -> Cell:
    said = slice_verdict(part, system, metric)
    found = part.systems.get(system, {}).get(metric)
    return interval_cell(found, mark=said if said in MARKS else "")

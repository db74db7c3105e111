"""Small plots as inline SVG, in the colours of the page and the same for the same numbers.

Text stays text and is set in the page's type. Every colour is a variable of the page's style, so a
plot follows it into the dark.
"""

import io
import re
import textwrap
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup, escape

from eval.intervals import Interval
from eval.page_parts import Plot
from eval.report import verdict
from rec_gen.errors import MissingPackageError
from rec_gen.text import clean_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID, CARD, ACCENT, BETTER, WORSE = (f"#0{n}0{n}0{n}" for n in range(1, 8))
SERIES = [f"#1{n}1{n}1{n}" for n in range(1, 8)]
VARIABLES = dict(
    zip(
        (INK, MUTED, GRID, CARD, ACCENT, BETTER, WORSE, *SERIES),
        (
            "ink",
            "muted",
            "grid",
            "card",
            "accent",
            "better",
            "worse",
            *(f"series-{n}" for n in range(1, 8)),
        ),
        strict=True,
    )
)
"""Colours that stand in a drawing for variables of the style."""

WIDTH, ROW, MARGIN = 4.6, 0.23, 0.62
"""Inches: the width of all plots, the height of a line of a label, and what stands around them."""

PAD = 0.04
"""What an axis that begins at 0 has before it, so that no dot lies on a label."""

LABEL = 24
"""Characters in a line of a label."""

LARGE = 10_000
"""From here on the ticks of an axis are written as 10k and 2M."""

Lines = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""By name, the places along the x axis and the values there."""

_STYLE = {
    "svg.hashsalt": "recgen",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def interval_plot(
    title: str,
    rows: Mapping[str, Interval],
    label: str,
    *,
    accent: Collection[str] = (),
    end: float | None = None,
) -> Plot:
    """One row a system: its mean as a dot, its interval as a line.

    Args:
        title: The caption.
        rows: By system; without an extent, only the dot is drawn.
        label: What the axis measures.
        accent: Systems in the colour of the page.
        end: Where the axis ends, which then begins at 0.
    """
    colors = [ACCENT if name in accent else MUTED for name in rows]
    with _drawing(title, list(rows)) as (axes, done):
        _draw_intervals(axes, list(rows.values()), colors, [True] * len(rows))
        axes.set(xlabel=label)
        if end is not None:
            axes.set_xlim(-PAD * end, end)
    return done[0]


def forest_plot(title: str, differences: Mapping[str, Interval], label: str) -> Plot:
    """One row a difference beside the line of none; filled where it is shown, by its verdict.

    Source: Lewis and Clarke, "Forest plots: trying to see the wood and the trees", 2001.
    """
    found = list(differences.values())
    said = [verdict(each) for each in found]
    colors = [{"better": BETTER, "worse": WORSE}.get(word, MUTED) for word in said]
    with _drawing(title, list(differences)) as (axes, done):
        axes.axvline(0, color=INK, linewidth=1, linestyle=(0, (3, 3)))
        _draw_intervals(axes, found, colors, [color != MUTED for color in colors])
        axes.set(xlabel=label)
    return done[0]


def share_plot(
    title: str,
    names: Sequence[str],
    history: Sequence[float],
    listed: Sequence[float],
    end: float,
) -> Plot:
    """One row a category: its share of the histories as a ring, of the lists as a dot.

    Args:
        title: The caption.
        names: The categories.
        history: Their shares of the histories.
        listed: Their shares of the lists.
        end: Where the axis ends, which plots share.
    """
    with _drawing(title, names, extra=0.3) as (axes, done):
        places = np.arange(len(names))
        axes.hlines(places, history, listed, color=MUTED, linewidth=2)
        for shares, face, color, label in (
            (history, CARD, INK, "histories"),
            (listed, ACCENT, ACCENT, "lists"),
        ):
            axes.plot(shares, places, "o", color=color, markerfacecolor=face, label=label)
        axes.set(xlabel="share", xlim=(-PAD * end, end))
        axes.figure.legend(loc="outside upper left", ncols=2)
    return done[0]


def line_plot(title: str, lines: Lines, labels: tuple[str, str], *,
              diagonal: bool = False, dashed: Collection[str] = ()) -> Plot:  # fmt: skip
    """Lines with points at their values.

    Args:
        title: The caption.
        lines: What to draw.
        labels: What the axes measure.
        diagonal: Draw where both are equal; lines then hold at least one point.
        dashed: Lines that are dashed, in the colour of the line before.
    """
    height = 2.6 + 0.2 * len(lines)
    with _drawing(title, (), extra=height) as (axes, done):
        from matplotlib.ticker import EngFormatter

        if diagonal:
            end = max(max(*places, *values) for places, values in lines.values())
            axes.plot([0, end], [0, end], color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        colors, color, handles = cycle(SERIES), ACCENT, []
        for name, (places, values) in lines.items():
            color = color if name in dashed else next(colors)
            style = (0, (4, 2)) if name in dashed else "-"
            handles += axes.plot(places, values, "o", linestyle=style, color=color, markersize=3.5)
        axes.set(xlabel=labels[0], ylabel=labels[1])
        if axes.get_xlim()[1] >= LARGE:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        # named here, since matplotlib takes a line whose own label begins with _ for one to hide
        shown = [_tail(clean_text(name)) for name in lines]
        axes.figure.legend(handles, shown, loc="outside upper left")
    return done[0]


def _tail(name: str) -> str:
    """A name for a legend: of a long one, as a path may be, the end."""
    return name if len(name) <= 2 * LABEL else f"…{name[1 - 2 * LABEL :]}"


def _draw_intervals(
    axes: "Axes", found: Sequence[Interval], colors: Sequence[str], filled: Sequence[bool]
) -> None:
    places = range(len(found))
    lows, highs = ([getattr(each, end) for each in found] for end in ("low", "high"))
    axes.hlines(places, lows, highs, colors=colors, linewidth=2)
    for place, each, color, full in zip(places, found, colors, filled, strict=True):
        face = color if full else CARD
        axes.plot(each.mean, place, "o", color=color, markerfacecolor=face, markersize=6.5,
                  clip_on=False)  # fmt: skip


@contextmanager
def _drawing(
    title: str, rows: Sequence[str], extra: float = 0.0
) -> Iterator[tuple["Axes", list[Plot]]]:
    """Axes to draw on, and a list that holds the plot once that is done.

    Args:
        title: The caption, which readers of the screen hear too.
        rows: The labels of the rows from the top, if the plot has rows.
        extra: Inches more than the rows need.
    """
    try:
        from matplotlib import rc_context, rcdefaults, rcParams
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("matplotlib", "train") from error
    labels = [textwrap.fill(clean_text(name), LABEL, max_lines=2, placeholder="…") for name in rows]
    height = MARGIN + ROW * sum(1 + 0.7 * label.count("\n") for label in labels) + extra
    done: list[Plot] = []
    with rc_context(), warnings.catch_warnings():
        rcdefaults()  # the reader's own settings are of no page
        rcParams.update(_STYLE)
        warnings.filterwarnings("ignore", "Glyph")  # the reader's own fonts may have it
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots()
        yield axes, done
        axes.locator_params(axis="x", nbins=5)
        if rows:
            axes.set_yticks(range(len(rows)), labels)
            axes.set_ylim(len(rows) - 0.5, -0.5)
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
        with io.StringIO() as file:
            nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            figure.savefig(file, format="svg", metadata=nothing, transparent=True)
            done.append(Plot(title, _inline(title, file.getvalue())))


def _inline(title: str, svg: str) -> Markup:
    """The drawing as a part of a page: with a name, without a size, ids that are its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'(<\w[^>]* style=")([^"]*)', lambda m: m[1] + _in_variables(m[2]), svg)
    head, _, rest = svg.partition(">")
    view = re.search(r'viewBox="[^"]*"', head)
    name = escape(clean_text(title))
    return Markup(f'<svg role="img" aria-label="{name}" {view[0] if view else ""}>{rest}')  # noqa: S704


def _in_variables(style: str) -> str:
    """An attribute whose colours are variables of the page's style."""
    colors = "|".join(VARIABLES)
    return re.sub(rf"({colors})\b", lambda m: f"var(--{VARIABLES[m[0]]})", style)

import re

from matplotlib import rc_context, rcParams

from eval.intervals import Interval
from eval.plots import ACCENT, forest_plot, interval_plot, line_plot

ROWS = {"one": Interval(0.2, 0.1, 0.3), "two": Interval(0.4, 0.3, 0.5)}
LINES = {"one": ([1.0, 2.0], [3.0, 4.0]), "two": ([1.0, 2.0], [2.0, 1.0])}


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_the_readers_own_settings_change_nothing() -> None:
    def drawn() -> list[str]:
        return [interval_plot("a", ROWS, "x").svg, line_plot("a", LINES, ("x", "y")).svg]

    plots = drawn()
    own = {"text.usetex": True, "xtick.labelsize": 30, "lines.linewidth": 9, "savefig.dpi": 10}
    with rc_context(own):
        assert drawn() == plots
        assert own.items() <= rcParams.items()


def test_colours_are_variables_and_texts_stay_as_they_are() -> None:
    odd = f'style="{ACCENT}"'
    svg = forest_plot("a", {odd: ROWS["one"], ACCENT: ROWS["two"]}, "x").svg
    assert {odd, ACCENT} <= set(texts(svg))
    styles = re.findall(r'<\w[^>]* style="([^"]*)"', svg)
    assert any("var(--better)" in style for style in styles)
    assert not any(re.search(r"#[01]\d[01]\d[01]\d", style) for style in styles)


def test_every_line_stands_in_the_legend() -> None:
    lines = {"_hidden run": LINES["one"], "_hidden run, validation": LINES["two"]}
    svg = line_plot("a", lines, ("x", "y"), dashed=["_hidden run, validation"]).svg
    assert set(lines) <= set(texts(svg))

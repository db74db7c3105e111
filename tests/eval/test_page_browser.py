"""A page as a reader has it: in Chromium, from a file, by mouse, by keyboard and by eye."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from eval.page import write_page
from eval.page_data import parse_result
from eval.report import format_interval
from eval.significance import Comparison
from tests.browser import CONTRAST, NEEDS_CHROMIUM, launched
from tests.eval.conftest import every_section, run_curves

pytestmark = NEEDS_CHROMIUM
TEXTS = "p, li, dt, dd, h1, h2, h3, th, td, small, a, summary, figcaption, text, .badge"

SORTED = """(table, column) => {
  const cells = [...table.tBodies[0].rows].map((row) => row.cells[column]);
  const values = cells.map((cell) => cell.dataset.sort ?? cell.textContent);
  return {
    arias: [...table.querySelectorAll("thead th")].map((head) => head.ariaSort),
    numeric: "sort" in cells[0].dataset,
    values,
    texts: values.toSorted((one, other) => one.localeCompare(other, undefined, { numeric: true })),
  };
}"""
"""How a table stands after a click: its headers, a column's values, and texts in their order."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def page_file(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, {"result.json": parse_result(every_section(evaluated), "")},
               {"a run": run_curves()})  # fmt: skip
    return path


@contextmanager
def opened(browser: Any, path: Path, **options: Any) -> Iterator[Any]:
    """The page with all that folds unfolded; nothing may go wrong while it is open."""
    context = browser.new_context(**options)
    page = context.new_page()
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    for summary in page.query_selector_all("details:not([open]) > summary"):
        summary.evaluate("summary => summary.parentElement.open = true")
    yield page
    assert wrong == []
    assert asked == [path.as_uri()]
    context.close()


def rows(table: Any) -> list[list[str]]:
    """What a table's cells say, row by row."""
    found: list[list[str]] = table.evaluate(
        "table => [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => "
        "cell.innerText.replace(/\\s+/g, ' ').trim()))"
    )
    return found


def test_every_plot_is_seen(browser: Any, page_file: Path, whole: dict[str, Any]) -> None:
    with opened(browser, page_file) as page:
        plots = {
            figure.query_selector("figcaption").inner_text(): figure.query_selector("svg")
            for figure in page.query_selector_all("figure")
        }
        for part in whole["slices"]:
            assert f"{part['value']}: {part['users']} users" in plots
        for title in (
            "NDCG@10 by system", "NDCG@10 of the model less that of another system",
            "average popularity by system", "coverage of the catalog by system",
            "brand: histories and lists of model", "reliability of the chances",
            "reliability of listed items",
            "share of invalid answers", "loss in training and in validation",
            "NDCG@10 in validation",
        ):  # fmt: skip
            assert title in plots
        for title, plot in plots.items():
            box = plot.bounding_box()
            assert plot.is_visible()
            assert box["width"] > 200
            assert box["height"] > 40
            assert plot.get_attribute("aria-label") == title
            marks = plot.query_selector_all("use")
            assert any(mark.bounding_box()["width"] > 0 for mark in marks)


def test_tables_say_what_the_file_says(
    browser: Any, page_file: Path, whole: dict[str, Any]
) -> None:
    with opened(browser, page_file) as page:
        shown = rows(page.query_selector("table"))
        difference = page.query_selector(".findings").inner_text()
    for cells in shown:
        metrics = parse_result(whole, "").systems[cells[0]]  # type: ignore[attr-defined]
        expected = [format_interval(metrics[f"{name}@10"]) for name in ("recall", "ndcg", "mrr")]
        assert cells[1:] == expected
    for system, metrics in whole["differences"].items():
        found = Comparison(**metrics["ndcg@10"])
        assert f"model less {system}: NDCG@10 {format_interval(found, signed=True)}" in difference


@pytest.mark.slow
@pytest.mark.parametrize("keys", [(None, None), ("Enter", "Space")], ids=["click", "keyboard"])
def test_every_column_sorts_both_ways(
    browser: Any, page_file: Path, keys: tuple[str | None, ...]
) -> None:
    with opened(browser, page_file, viewport={"width": 1600, "height": 1000}) as page:
        tables = page.query_selector_all("table")
        assert len(tables) > 12
        for table in tables:
            before = sorted(rows(table))
            for column, button in enumerate(table.query_selector_all("thead button")):
                for key, direction in zip(keys, ("ascending", "descending"), strict=True):
                    if key:
                        button.focus()
                        page.keyboard.press(key)
                    else:
                        button.click()
                    found = table.evaluate(SORTED, column)
                    expected = ["none"] * len(before[0])
                    expected[column] = direction
                    assert found["arias"] == expected
                    assert_sorted(found, reverse=direction == "descending")
            assert sorted(rows(table)) == before


def assert_sorted(found: dict[str, Any], *, reverse: bool) -> None:
    """Numbers by their size with those that are missing last, texts by the locale."""
    if not found["numeric"]:
        assert found["values"] == (found["texts"][::-1] if reverse else found["texts"])
        return
    values = [float(value) for value in found["values"]]
    known = [value for value in values if not math.isnan(value)]
    assert values[: len(known)] == sorted(known, reverse=reverse)


def test_headers_are_reached_by_the_keyboard_alone(browser: Any, page_file: Path) -> None:
    with opened(browser, page_file) as page:
        for _ in range(200):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent") == "NDCG@10":
                break
        page.keyboard.press("Enter")
        head = page.query_selector("th[aria-sort=ascending]")
        assert head.inner_text() == "NDCG@10"
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"


def test_light_and_dark_can_both_be_read(browser: Any, page_file: Path) -> None:
    backgrounds = []
    for scheme in ("light", "dark"):
        with opened(browser, page_file, color_scheme=scheme) as page:
            backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            contrasts = page.evaluate(CONTRAST, TEXTS)
            assert len(contrasts) > 500
            assert min(contrasts) > 4.5
    light, dark = (int(re.findall(r"\d+", background)[0]) for background in backgrounds)
    assert light > 200
    assert dark < 60


@pytest.mark.parametrize("width", [320, 375, 1280])
def test_the_page_is_never_wider_than_the_screen(browser: Any, page_file: Path, width: int) -> None:
    with opened(browser, page_file, viewport={"width": width, "height": 800}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.evaluate("window.scrollTo(500, 0)")
        assert page.evaluate("window.scrollX") == 0
        for plot in page.query_selector_all("svg"):
            box = plot.bounding_box()
            assert box["x"] + box["width"] <= width


def test_all_but_sorting_works_without_scripts(browser: Any, page_file: Path) -> None:
    with opened(browser, page_file) as page:
        scripted = page.inner_text("main")
    with opened(browser, page_file, java_script_enabled=False) as page:
        assert page.inner_text("main") == scripted
        folded = page.query_selector("details:not([open]) > summary")
        assert folded is None

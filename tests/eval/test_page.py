import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eval.page import render_page, write_page
from eval.page_data import EvaluationResult, parse_result, read_result
from eval.page_evaluation import evaluation_document
from eval.page_parts import Section, Table, headline, interval_cell, number
from eval.report import format_interval, format_number
from eval.result_json import to_json
from rec_gen.errors import DataError, MissingPackageError
from tests.eval.conftest import BRANDS

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "eval" / "results").glob("*.json"))


def sections(table: dict[str, Any]) -> dict[str, Section]:
    result = parse_result(table, "result.json")
    assert isinstance(result, EvaluationResult)
    document = evaluation_document(result, "result.json")
    return {section.title: section for section in document.sections}


def test_tables_hold_the_numbers_of_the_file(whole: dict[str, Any]) -> None:
    found = sections(whole)
    (ten, *_) = found["Ranking quality"].tables
    assert list(ten.columns) == ["system", "Recall@10", "NDCG@10", "MRR@10"]
    assert [row[0].text for row in ten.rows] == list(whole["systems"])
    for row in ten.rows:
        metrics = whole["systems"][row[0].text]
        for cell, metric in zip(row[1:], ("recall@10", "ndcg@10", "mrr@10"), strict=True):
            assert cell.value == metrics[metric]["mean"]
    (deciding, *_) = found["Differences"].tables
    for row in deciding.rows:
        difference = whole["differences"][row[0].text]["ndcg@10"]
        keys = ("mean", "p", "p_holm", "detectable")
        assert [cell.value for cell in row[1:-1]] == [difference[key] for key in keys]
    by_brand = found["NDCG@10 by brand"].tables[0]
    parts = {part["value"]: part for part in whole["slices"] if part["by"] == "brand"}
    assert {row[0].text for row in by_brand.rows} == set(parts) == set(BRANDS)
    for row in by_brand.rows:
        part = parts[row[0].text]
        means = [part["systems"][system]["ndcg@10"]["mean"] for system in whole["systems"]]
        assert [cell.value for cell in row[1:]] == [part["users"], part["examples"], *means]
    shares = found["Calibration by brand"].tables[0]
    assert [[cell.value for cell in row[1:]] for row in shares.rows] == [
        [0.5, 0.4, 0.9], [0.3, 0.3, 0.1], [0.2, 0.3, 0.0],
    ]  # fmt: skip


def test_a_slice_of_few_users_has_no_verdict_whatever_its_file_says(whole: dict[str, Any]) -> None:
    sure = {"mean": 0.2, "low": 0.1, "high": 0.3}
    for found, marks in (
        (sure, {"better"}),
        (sure | {"p": 0.2, "p_holm": 0.4, "detectable": 0.1}, {""}),
        (sure | {"p": 0.01, "p_holm": 0.02, "detectable": 0.1}, {"better"}),
    ):
        for part in whole["slices"]:
            part |= {"users": 50, "differences": {"popularity": {"ndcg@10": found}}}
        whole["slices"][0] |= {"users": 19, "examples": 400}
        table = sections(whole)["NDCG@10 by popularity of the target"].tables[0]
        place = list(table.columns).index("popularity")
        first, *rest = (row[place].mark for row in table.rows)
        assert (first, set(rest)) == ("", marks)
    notes = sections(whole)["NDCG@10 by popularity of the target"].notes
    assert list(notes[1:]) == [
        "Few: under 20 users there is no verdict.",
        "Verdicts are not corrected for how many slices there are.",
    ]


def test_what_is_undefined_is_null_in_the_file_and_blank_on_the_page(
    whole: dict[str, Any], tmp_path: Path
) -> None:
    nan = math.nan
    whole["systems"]["EASE"]["ndcg@10"] = {"mean": 0.25, "low": nan, "high": nan}
    whole["differences"]["EASE"]["ndcg@10"]["detectable"] = nan
    whole["summaries"]["EASE"]["gini@10"] = -math.inf
    text = to_json(whole)
    strict = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert strict["differences"]["EASE"]["ndcg@10"]["detectable"] is None
    assert strict["summaries"]["EASE"]["gini@10"] is None
    assert strict["systems"]["EASE"]["ndcg@10"] == {"mean": 0.25, "low": None, "high": None}
    for kept in (text, json.dumps(whole)):
        (tmp_path / "result.json").write_text(kept)
        page = render_page({"result.json": read_result(tmp_path / "result.json")}, {})
        assert not re.search(r">[^<]*\bnan\b[^<]*<", page)
    found = sections(strict)
    row = next(row for row in found["Differences"].tables[0].rows if row[0].text == "EASE")
    assert row[-2].text == "-"
    row = next(row for row in found["Ranking quality"].tables[0].rows if row[0].text == "EASE")
    assert (row[2].text, row[2].note) == (".2500", "")


def test_each_plot_shows_what_its_section_says(whole: dict[str, Any]) -> None:
    found = sections(whole)
    systems, plots = len(whole["systems"]), {title: s.plots for title, s in found.items()}
    assert plots["Differences"][0].title.startswith("NDCG@10 of the model less")
    assert len(plots["NDCG@10 by popularity of the target"]) == len(
        [part for part in whole["slices"] if part["by"] == "target's popularity"]
    )
    assert len(plots["Calibration by brand"]) == 2
    assert len(plots["Ratings"]) == len(plots["Calibration of the chances"]) == 1
    for plot in plots["Ranking quality"]:
        labels = re.findall(r"<text[^>]*>([^<]*)</text>", plot.svg)
        assert set(whole["systems"]) <= set(labels)
        assert plot.svg.count("var(--accent)") >= 1
        assert len(re.findall(r"<use ", plot.svg)) >= systems


@pytest.mark.parametrize("empty", [None, "left out"])
def test_what_is_missing_is_left_out(whole: dict[str, Any], empty: str | None) -> None:
    optional = ("categories", "ratings", "reliability")
    table = {key: value for key, value in whole.items() if key not in optional}
    table |= {} if empty else {"categories": None, "ratings": None, "reliability": []}
    table |= {"unconstrained": [], "slices": [], "summaries": {}, "costs": {}, "leaks": [],
              "unknown": 1}  # fmt: skip
    for metrics in table["systems"].values():
        del metrics["novelty@10"], metrics["popularity@10"]
    assert list(sections(table)) == ["Ranking quality", "Differences", "All measures"]


def test_text_of_the_data_is_never_markup(whole: dict[str, Any], curves: dict[str, Any]) -> None:
    page = render_page({"<u>a</u>.json": parse_result(whole, "")}, {BRANDS[1]: curves})
    assert page.count("<script") == page.count("</script") == 1
    for markup in ("<b>bold", "<i>&", "<u>a"):
        assert markup not in page
    assert "toys &lt;i&gt;&amp; co" in page
    assert "$C_1$ &amp; co" in re.findall(r"<text[^>]*>([^<]*)</text>", page)


def test_a_page_asks_for_nothing_outside(whole: dict[str, Any], curves: dict[str, Any]) -> None:
    page = render_page({"result.json": parse_result(whole, "")}, {"run": curves})
    targets = re.findall(r"""(?:src|href|action)=["']?([^"'> ]*)""", page)
    targets += re.findall(r"url\(([^)]*)\)", page)
    assert targets
    assert {target[0] for target in targets} == {"#", "d"}
    assert {target for target in targets if target[0] == "d"} == {"data:,"}
    assert "@import" not in page


def test_what_measures_and_verdicts_rest_on_is_said_beside_them(whole: dict[str, Any]) -> None:
    found = sections(whole)
    assert "average precision is the reciprocal rank" in found["All measures"].notes[0]
    level = f"{whole['differences']['EASE']['ndcg@10']['level']:.4f}"[1:]
    told = f"the true difference that is found in 80 % of cases at level {level}."
    assert found["Differences"].notes[-1] == f"Detectable: {told}"
    assert found["Ratings"].notes[0] == "A yes is a rating from 4, a no is one below."
    whole["ratings"]["liked_from"] = None
    assert "drawn in proportion to how often others chose" in sections(whole)["Ratings"].notes[0]


def test_the_same_results_give_the_same_bytes(evaluated: Path, tmp_path: Path) -> None:
    write_page(tmp_path / "here.html", {"r": read_result(evaluated)}, {})
    script = (
        "import sys; from pathlib import Path; from eval.page import write_page;"
        "from eval.page_data import read_result;"
        "write_page(Path(sys.argv[2]), {'r': read_result(Path(sys.argv[1]))}, {})"
    )
    there = tmp_path / "there.html"
    command = [sys.executable, "-c", script, str(evaluated), str(there)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    assert there.read_bytes() == (tmp_path / "here.html").read_bytes()


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_that_are_kept_can_be_looked_at(path: Path) -> None:
    page = render_page({path.name: read_result(path)}, {})
    assert path.name in page
    assert len(page) < 500_000


def test_curves_stand_over_tokens_only_where_all_runs_count_them(curves: dict[str, Any]) -> None:
    page = render_page({}, {"a": curves, "b": curves})
    assert "tokens read" in page
    assert "a reached .3000; b reached .3000" in page
    uncounted = json.loads(json.dumps(curves))
    uncounted["losses"][0]["tokens"] = None
    assert "tokens read" not in render_page({}, {"a": curves, "b": uncounted})
    nothing = {"losses": curves["losses"], "validations": []}
    assert "No validation was run" in render_page({}, {"a": nothing})


@pytest.mark.parametrize(
    ("found", "told"), [([math.nan, 0.2, 0.1], ".2000"), ([math.nan] * 3, "-")]
)
def test_the_best_of_a_run_is_a_number(
    curves: dict[str, Any], found: list[float], told: str
) -> None:
    for point, value in zip(curves["validations"], found, strict=True):
        point["ndcg"] = value
    assert f"a reached {told}." in render_page({}, {"a": curves})


def test_the_verdict_names_every_system() -> None:
    verdicts = {"a": "better", "b": "no difference shown", "c": "worse", "d": "better"}
    assert headline("it", 0.25, "NDCG@10", verdicts) == (
        "In NDCG@10, it (.2500) is better than a and d, and is worse than c, and is not shown to "
        "differ from b."
    )
    assert headline("it", 0.25, "M", {}) == "In M, it (.2500) was compared with nothing."


def test_numbers_read_as_in_the_terminal(whole: dict[str, Any]) -> None:
    result = parse_result(whole, "")
    assert isinstance(result, EvaluationResult)
    for metrics in result.systems.values():
        cell = interval_cell(metrics["ndcg@10"])
        assert f"{cell.text} {cell.note}" == format_interval(metrics["ndcg@10"])
    assert number(-0.5, signed=True) == format_number(-0.5, signed=True)
    assert number(1234.56) == "1,234.6"
    assert interval_cell(None).text == "-"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (b"{", "is not valid JSON"),
        (b"\xff\xfe", "is not valid JSON"),
        (b"[" * 5000, "is not valid JSON"),
        (b"[]", "is no result of recgen: none of the keys arms, by_seed, systems, figures"),
        (b'{"answers": 1}', "is no result of recgen"),
        (b'{"arms": {}}', "key 'name': Field required"),
        (b'{"figures": 3}', "key 'figures'"),
        (None, "cannot be read"),
        ({"systems": {}}, "key 'systems': Value error, holds no 'model'"),
        ({"systems": {"model": {}}}, "key 'systems.model': Value error, holds no 'ndcg@10'"),
        ({"users": "many"}, "key 'users'"),
        ({"differences": {"EASE": {"ndcg@10": {"mean": 1}}}}, "key 'differences.EASE.ndcg@10.low'"),
        (
            {
                "slices": [
                    {
                        "by": "a",
                        "value": "b",
                        "examples": 1,
                        "users": 1,
                        "differences": {},
                        "systems": {},
                    }
                ]
            },
            "key 'slices.0': Value error, holds no 'model'",
        ),
        ({"leaks": [{"name": "x", "status": "unheard of"}]}, "key 'leaks.0.status'"),
        (
            {"categories": {"column": "c", "names": ["a"], "history": [], "lists": {}}},
            "key 'categories': Value error, a list of shares is not as long as 'names'",
        ),
    ],
)
def test_a_file_that_is_no_result_is_refused(
    whole: dict[str, Any], tmp_path: Path, change: bytes | dict[str, Any] | None, told: str
) -> None:
    path = tmp_path / "odd.json"
    if isinstance(change, dict):
        path.write_text(json.dumps(whole | change))
    elif change is not None:
        path.write_bytes(change)
    with pytest.raises(DataError) as caught:
        read_result(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_matplotlib_the_mend_is_named(
    whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'rec_gen\[train\]'"):
        render_page({"result.json": parse_result(whole, "")}, {})


def test_every_table_has_a_cell_for_each_column(whole: dict[str, Any]) -> None:
    tables: list[Table] = [table for s in sections(whole).values() for table in s.tables]
    assert len(tables) > 10
    for table in tables:
        assert {len(row) for row in table.rows} == {len(table.columns)}

"""`recgen report`, and the page beside the JSON of other commands."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from eval.experiment_report import METRICS
from eval.page import write_page
from eval.page_data import read_result
from rec_gen.cli.common import WIDE, table_console
from tests.rec_gen.command import error, run
from tests.toy import rated, tiny_base, toy_dataset

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "eval" / "results" / "quickstart.json"


@pytest.fixture(scope="module")
def trained(tables: Path) -> Path:
    """The run folder of a model of a few steps."""
    folder = tables / "run"
    made = run("train", "quickstart", "--data", tables / "shop.toml", "--out", folder,
               "--set", "max_steps=4", "--set", "every_steps=2")  # fmt: skip
    assert made.exit_code == 0, made.output
    return folder


def test_evaluate_writes_a_page_with_the_curves_of_the_run(trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    page = tmp_path / "result.html"
    ask = ["--baselines", "popularity", "--json", file]
    assert run("evaluate", trained / "bundle", *ask).exit_code == 0
    assert "Training curves" in page.read_text(encoding="utf-8")
    shutil.copytree(trained / "bundle", tmp_path / "alone" / "bundle")
    shutil.copytree(trained / "checkpoints", tmp_path / "alone" / "checkpoints")
    for state in (tmp_path / "alone").glob("checkpoints/*/trainer_state.json"):
        state.write_text("{}")
    broken = run("evaluate", tmp_path / "alone" / "bundle", *ask)
    assert broken.exit_code == 0, broken.output
    assert "the training curves are left out: " in broken.stderr
    assert "Training curves" not in page.read_text(encoding="utf-8")
    assert error("report", tmp_path / "alone", "--out", tmp_path / "none.html")[0] == 1
    shutil.rmtree(tmp_path / "alone" / "checkpoints")
    assert run("evaluate", tmp_path / "alone" / "bundle", *ask).exit_code == 0
    alone = page.read_text(encoding="utf-8")
    assert "Training curves" not in alone
    made = run("report", file, "--out", tmp_path / "again.html")
    assert made.exit_code == 0, made.output
    again = (tmp_path / "again.html").read_text(encoding="utf-8")
    assert again.replace(str(file), file.name) == alone


@pytest.mark.parametrize("missing", ["matplotlib", "sklearn"])
def test_evaluate_goes_without_a_page_where_training_is_not_installed(
    trained: Path, tmp_path: Path, missing: str
) -> None:
    file, page = tmp_path / "result.json", tmp_path / "result.html"
    write_page(page, {"old.json": read_result(QUICKSTART)}, {})
    script = (
        "import sys; sys.modules[sys.argv[1]] = None\n"
        "from rec_gen.cli import main; main(sys.argv[2:])"
    )
    ask = ["evaluate", trained / "bundle", "--baselines", "popularity", "--json", file]
    command = [sys.executable, "-c", script, missing, *map(str, ask)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(file.read_text())["examples"] == 12
    assert sorted(tmp_path.iterdir()) == [file, file.with_suffix(".parquet")]
    assert f"{page} is left out: the package '{missing}" in done.stderr
    assert "pip install 'rec_gen[train]'" in done.stderr


def test_evaluate_overwrites_what_an_evaluation_wrote_alone(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()
    for name in ("folder", "page", "rows", "list"):
        (tmp_path / f"{name}.json").write_text('["systems"]' if name == "list" else "{}")
    (tmp_path / "page.html").write_text("<html>mine</html>")
    for name in ("rows", "list"):
        (tmp_path / f"{name}.parquet").write_text("mine")
    before = {file: file.is_file() and file.read_text() for file in tmp_path.iterdir()}
    for name, taken in (
        ("folder", "html"),
        ("page", "html"),
        ("rows", "parquet"),
        ("list", "parquet"),
    ):
        file = tmp_path / f"{name}.json"
        found, line = error("evaluate", trained / "bundle", "--json", file)
        told = f"written to {tmp_path / name}.{taken}, which is something else" in line
        assert (found, told) == (2, True), line
    assert {file: file.is_file() and file.read_text() for file in tmp_path.iterdir()} == before


def test_an_experiment_leaves_json_rows_and_a_page(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rated(toy_dataset()).save(tmp_path / "data")
    base = tiny_base(tmp_path / "base")
    file = tmp_path / "toy.toml"
    file.write_text(
        f'name = "toy"\nusers = 5\nhistory = [4]\ndata.prepared = "{tmp_path}/data"\n'
        'exact = true\nexclude_seen = false\nmodels = [{ base = "' + base + '" }]\n'
        'templates = [{ template = "next_item" }, { template = "next_item_direct" }]\n'
    )
    result = run("prompts", "experiment", file, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out" / "experiment.json").read_text())
    assert "rows" not in found
    assert [check["status"] for check in found["leaks"]].count("passed") == 1
    assert "checks for leaks: 1 passed, 4 not applicable" in result.output
    rows = pl.read_parquet(tmp_path / "out" / "experiment.parquet")
    assert len(rows) == 2 * found["examples"] == 10
    for name, arm in found["arms"].items():
        mine = rows.filter(arm=name)
        assert mine["tokens"].mean() == pytest.approx(arm["prompt_tokens"])
        assert mine["seconds"].median() == pytest.approx(arm["times"]["latency_median_s"], abs=1e-4)
        for metric in METRICS:
            assert mine[metric].mean() == pytest.approx(arm["metrics"][metric]["mean"])
        for row in mine.iter_rows(named=True):
            listed = row["target"] in row["items"]
            assert row["rank"] == (row["items"].index(row["target"]) if listed else None)
            assert row["history"] >= row["shown"] + row["left_out"] == 4
    page = (tmp_path / "out" / "experiment.html").read_text(encoding="utf-8")
    for text in (found["verdict"].partition(";")[0], "tokens of a prompt", "Checks for leaks"):
        assert text in page
    unknown = run("prompts", "experiment", file, "--out", tmp_path / "no", "--allow-leak", "none")
    assert (unknown.exit_code, (tmp_path / "no").exists()) == (2, False)
    assert "--allow-leak none: is not one of target-in-history-of-training" in unknown.output
    (tmp_path / "out" / "experiment.html").write_text("my own")
    again = run("prompts", "experiment", file, "--out", tmp_path / "out")
    assert again.exit_code == 2
    assert "experiment.html, which is something else" in again.output
    assert (tmp_path / "out" / "experiment.html").read_text() == "my own"


def test_report_joins_results_and_runs_on_one_page(trained: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    beauty = QUICKSTART.with_name("beauty.json")
    result = run("report", QUICKSTART, beauty, trained, "--out", page)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"page: {page}\n"
    text = page.read_text(encoding="utf-8")
    for part in ("movielens-100k, test split", "beauty on amazon2014-beauty", "Training curves"):
        assert text.count(f">{part}<") >= 1
    assert [f'id="result-{place}"' in text for place in (1, 2, 3, 4)] == [True] * 3 + [False]


def test_report_refuses_what_it_cannot_show(tmp_path: Path) -> None:
    odd = tmp_path / "odd.json"
    odd.write_text('{"a": 1}')
    page = tmp_path / "page.html"
    cases: list[tuple[int, str, list[object]]] = [
        (1, f"{odd}: is no result of recgen", [QUICKSTART, odd, "--out", page]),
        (1, "none.json: cannot be read", [tmp_path / "none.json", "--out", page]),
        (2, "holds no run that reached a validation", [tmp_path, "--out", page]),
        (2, "name a file that ends in .html", [QUICKSTART, "--out", odd]),
        (
            2,
            f"{tmp_path}/none is no folder: make it",
            [QUICKSTART, "--out", tmp_path / "none/p.html"],
        ),
    ]
    for code, message, arguments in cases:
        found, line = error("report", *arguments)
        assert (found, message in line) == (code, True), line
    assert [file.name for file in tmp_path.iterdir()] == ["odd.json"]
    assert odd.read_text() == '{"a": 1}'


def test_report_overwrites_its_own_pages_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html>mine</html>")
    found, line = error("report", QUICKSTART, "--out", page)
    assert (found, "page.html, which is something else" in line) == (2, True), line
    assert page.read_text() == "<html>mine</html>"
    page.unlink()
    for _ in range(2):
        assert run("report", QUICKSTART, "--out", page).exit_code == 0
    assert "quickstart.json" in page.read_text(encoding="utf-8")


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing can be written."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    yield folder
    folder.chmod(0o755)


def test_a_folder_that_cannot_be_written_is_told_before_the_work(
    locked: Path, tmp_path: Path
) -> None:
    (tmp_path / "toy.toml").write_text(
        'name = "toy"\ndata.source = "movielens-100k"\nmodels = [{ base = "smollm2-135m" }]\n'
        'templates = [{ template = "next_item" }]\n'
    )
    for asked in (
        ["evaluate", "no-bundle", "--json", locked / "result.json"],
        ["benchmark", "quickstart", "--json", locked / "result.json"],
        ["prompts", "experiment", tmp_path / "toy.toml", "--out", locked],
        ["prompts", "experiment", tmp_path / "toy.toml", "--out", locked / "deep" / "er"],
        ["report", QUICKSTART, "--out", locked / "page.html"],
    ):
        code, line = error(*asked)
        assert (code, f"the folder {locked} cannot be written: choose another" in line) == (
            2,
            True,
        ), line


def test_tables_that_no_terminal_bounds_are_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert table_console().width == WIDE
    monkeypatch.setenv("COLUMNS", "100")
    assert table_console().width == 100

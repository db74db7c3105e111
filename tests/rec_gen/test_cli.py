import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from eval.page import is_page
from rec_gen.catalog import Catalog
from rec_gen.cli import main
from rec_gen.testing import random_bundle
from tests.rec_gen.command import SHOP, error, run

BRIEF = """
name = "brief"
data.prepared = "{folder}/data"
prompt.template = "sequence"
train.max_steps = 4
validation = {{ every_steps = 2, exclude_seen = false }}
prior = {{}}

[model.scratch]
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 2
head_dim = 16
"""


@pytest.fixture(scope="module")
def shop(tables: Path) -> Path:
    """A shop's own tables, their mapping, and a model that was trained on them."""
    trained = run("train", "quickstart", "--data", tables / "shop.toml", "--out", tables / "run",
                  "--set", "max_steps=20", "--set", "every_steps=10")  # fmt: skip
    assert trained.exit_code == 0, trained.output
    return tables


def test_prepare_says_what_it_kept(shop: Path, tmp_path: Path) -> None:
    result = run("prepare", shop / "shop.toml", "--out", tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert "12 users, 8 items, 60 interactions" in result.output
    assert "nothing was left out" in result.output
    assert (tmp_path / "data" / "dataset.json").exists()


def test_a_prepared_folder_serves_as_data(shop: Path, tmp_path: Path) -> None:
    assert run("prepare", shop / "shop.toml", "--out", tmp_path / "data").exit_code == 0
    arguments = ["train", "quickstart", "--data", tmp_path / "data", "--out", tmp_path / "run"]
    done = run(*arguments, "--set", "max_steps=2", "--set", "every_steps=2")
    assert done.exit_code == 0, done.output
    assert run("evaluate", tmp_path / "run" / "bundle", "--split", "valid").exit_code == 0


def test_equal_requests_get_an_answer_each(shop: Path) -> None:
    result = run("recommend", shop / "run" / "bundle", "--history", "p1", "--history", "p1",
                 "--history", '["p1", "p2"]', "--include-seen", "-k", 8, "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["request"] for answer in answers] == ["p1", "p1", '["p1", "p2"]']
    assert all(len(answer["items"]) == 8 for answer in answers)


def test_recommend_answers_each_request(shop: Path) -> None:
    result = run("recommend", shop / "run" / "bundle", "--history", "p1,p2", "--user", "u3",
                 "-k", 3, "--block", "p5", "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["request"] for answer in answers] == ["p1,p2", "u3"]
    for answer in answers:
        ids = [item["id"] for item in answer["items"]]
        assert len(set(ids)) == len(ids) >= 2
        assert "p5" not in ids
    text = run("recommend", shop / "run" / "bundle", "--history", "p1", "-k", 1).output
    assert "Product" in text


def test_recommend_takes_its_options(shop: Path, tmp_path: Path) -> None:
    asked: list[object] = ["recommend", shop / "run" / "bundle", "--history", "p1", "--json"]

    def answer(*options: object) -> list[dict[str, Any]]:
        result = run(*asked, *options)
        assert result.exit_code == 0, result.output
        items: list[dict[str, Any]] = json.loads(result.stdout)["items"]
        return items

    draws = [[item["id"] for item in answer("--temperature", 5, "--seed", s)] for s in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert len(answer("--max-per", "shelf=1")) == 2
    own = tmp_path / "own.json"
    own.write_text('{"p4": 1}')
    table = tmp_path / "own.csv"
    table.write_text("item,score\np4,1\n")
    for file in (own, table):
        assert answer("--item-scores", file, "--item-weight", 99, "-k", 1)[0]["id"] == "p4"
    listed = [item["score"] for item in answer("--scale", "list", "-k", 3)]
    assert sum(listed) == pytest.approx(1)
    likely = [item["score"] for item in answer("--scale", "probability")]
    assert all(0 < score < 1 for score in likely)
    assert likely == sorted(likely, reverse=True)


def test_evaluate_writes_the_table_and_the_file(shop: Path, tmp_path: Path) -> None:
    result = run("evaluate", shop / "run" / "bundle", "--json", tmp_path / "result.json")
    assert result.exit_code == 0, result.output
    assert "Markov + KNN" in result.output
    report = json.loads((tmp_path / "result.json").read_text())
    assert report["examples"] == 12
    assert report["systems"]["model"]["ndcg@10"]["mean"] > 0


def test_evaluate_takes_its_options(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    result = run("evaluate", shop / "run" / "bundle", "--baselines", "ease,popularity",
                 "--slice", "shelf", "--categories", "shelf", "--unconstrained", 3,
                 "--json", file)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "NDCG@10 by shelf" in result.output
    report = json.loads(file.read_text())
    assert list(report["systems"]) == ["model", "EASE", "popularity"]
    assert (report["categories"]["column"], "diversity" in result.output) == ("shelf", True)
    assert {part["value"] for part in report["slices"] if part["by"] == "shelf"} == {"a", "b"}
    assert [found["examples"] for found in report["unconstrained"]] == [3, 3]
    assert {check["status"] for check in report["leaks"]} == {"passed", "not applicable"}
    rows = pl.read_parquet(tmp_path / "result.parquet")
    assert len(rows) == 3 * report["examples"]
    assert run("evaluate", shop / "run" / "bundle", "--json", file).exit_code == 0


def test_evaluate_on_other_data_is_an_error_or_is_recorded(shop: Path, tmp_path: Path) -> None:
    for name in ("log.csv", "items.csv"):
        shutil.copy(shop / name, tmp_path)
    (tmp_path / "shop.toml").write_text(SHOP.format(folder=tmp_path))
    trained = run("train", "quickstart", "--data", tmp_path / "shop.toml", "--out",
                  tmp_path / "run", "--set", "max_steps=2", "--set", "every_steps=2")  # fmt: skip
    assert trained.exit_code == 0, trained.output
    rows = (tmp_path / "log.csv").read_text().splitlines()
    (tmp_path / "log.csv").write_text("\n".join([*rows, "u1,p7,900", ""]))
    ask = ["evaluate", tmp_path / "run" / "bundle", "--json", tmp_path / "result.json"]
    code, line = error(*ask)
    assert (code, "leak bundle-trained-on-this-data: the bundle" in line) == (1, True)
    allowed = run(*ask, "--allow-leak", "bundle-trained-on-this-data")
    assert allowed.exit_code == 0, allowed.output
    assert "allowed leak bundle-trained-on-this-data" in allowed.output
    assert json.loads((tmp_path / "result.json").read_text())["leaks"][-1]["status"] == "allowed"


@pytest.fixture(scope="module")
def recipe(shop: Path) -> Path:
    """A recipe of a few steps on the shop's tables."""
    assert run("prepare", shop / "shop.toml", "--out", shop / "data").exit_code == 0
    file = shop / "brief.toml"
    file.write_text(BRIEF.format(folder=shop))
    return file


def test_benchmark_trains_each_seed_once(recipe: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "runs", tmp_path / "result.json"
    asked: list[object] = ["benchmark", recipe, "--seeds", 2, "--out", out, "--json", file]
    asked += ["--set", "max_steps=2"]
    result = run(*asked)
    assert result.exit_code == 0, result.output
    assert "model \N{MINUS SIGN} Markov + KNN" in result.output
    assert is_page(file.with_suffix(".html"))
    report = json.loads(file.read_text())
    assert (report["seeds"], report["exclude_seen"], report["examples"]) == ([0, 1], False, 12)
    assert (report["recipe"], report["overrides"]) == (recipe.read_text(), ["max_steps=2"])
    manifests = [out / f"seed-{seed}" / "bundle" / "manifest.json" for seed in range(2)]
    before = [manifest.stat().st_mtime_ns for manifest in manifests]
    shutil.rmtree(out / "seed-1" / "bundle")
    assert run(*asked).exit_code == 0
    assert manifests[0].stat().st_mtime_ns == before[0]
    assert manifests[1].exists()
    again = json.loads(file.read_text())
    for part in ("systems", "validation", "by_seed"):
        assert again[part] == report[part]
    hybrid = run("evaluate", out / "seed-0" / "bundle", "--prior-weight", 0.5, "--json", file)
    assert hybrid.exit_code == 0, hybrid.output
    assert list(json.loads(file.read_text())["systems"])[:2] == ["model", "hybrid"]
    ask = ["recommend", out / "seed-0" / "bundle", "--history", "p1", "--json"]
    model, joined = (run(*ask, "--prior-weight", weight).stdout for weight in (0, 9))
    assert json.loads(model)["items"] != json.loads(joined)["items"]


def test_training_again_changes_nothing(shop: Path) -> None:
    manifest = shop / "run" / "bundle" / "manifest.json"
    before = manifest.stat().st_mtime_ns
    arguments = ["train", "quickstart", "--data", shop / "shop.toml", "--out", shop / "run"]
    assert run(*arguments, "--set", "max_steps=20", "--set", "every_steps=10").exit_code == 0
    assert manifest.stat().st_mtime_ns == before
    code, line = error(*arguments, "--set", "max_steps=21", "--set", "every_steps=10")
    assert (code, "--restart" in line) == (2, True)


@pytest.mark.parametrize(("rate", "change"), [("1e-6", "did not change"), ("1.0", "lowered")])
def test_refine_says_what_it_did_to_the_ranking(
    shop: Path, tmp_path: Path, rate: str, change: str
) -> None:
    bundle = shop / "run" / "bundle"
    result = run("refine", bundle, "--method", "softmax-dpo", "--out", tmp_path,
                 "--set", "max_steps=20", "--set", "batch_size=8", "--set", "negatives=2",
                 "--set", f"learning_rate={rate}")  # fmt: skip
    assert result.exit_code == 0, result.output
    said, where = result.stdout.splitlines()
    assert said.startswith(f"softmax-dpo {change} the validation NDCG@10: ")
    assert where == f"no bundle is written: keep {bundle}"
    assert not (tmp_path / "bundle").exists()


def test_compress_says_what_it_did_and_the_bundle_answers(shop: Path, tmp_path: Path) -> None:
    result = run("compress", shop / "run" / "bundle", "--drop-layers", 1, "--weights", "int8",
                 "--heal-steps", 2, "--set", "every_steps=1", "--out", tmp_path)  # fmt: skip
    assert result.exit_code == 0, result.output
    said = result.stdout.splitlines()
    assert said[0].startswith("dropped layers ")
    assert said[-1] == f"bundle: {tmp_path / 'bundle'}"
    answer = run("recommend", tmp_path / "bundle", "--history", "p1,p2", "-k", 6)
    assert len(answer.stdout.splitlines()) == 7


def test_errors_are_one_line_with_an_exit_code(shop: Path, tmp_path: Path) -> None:
    bundle = shop / "run" / "bundle"
    other = ["recommend", bundle, "--history", "p1", "--template", "next_item"]
    refine = ["refine", bundle, "--out", tmp_path / "refined", "--method"]
    ask = ["recommend", bundle, "--history", "p1"]
    own = tmp_path / "own.csv"
    own.write_text("item,score\np4,high\n")
    plain = tmp_path / "plain.toml"
    plain.write_text('name = "plain"\n[data]\nsource = "movielens-100k"\n[train]\nmax_steps = 1\n')
    evaluate = ["evaluate", bundle]
    (tmp_path / "taken.parquet").touch()
    (tmp_path / "page.html").touch()
    unknown = tmp_path / "unknown.json"
    unknown.write_text('{"p9": 1}')
    cases: list[tuple[int, str, list[object]]] = [
        (2, "--max-per shelf: write it as COLUMN=N", [*ask, "--max-per", "shelf"]),
        (1, "prior_weight is -1.0: give a number", ["evaluate", bundle, "--prior-weight", -1]),
        (2, "(Krichene & Rendle 2020)", [*evaluate, "--sampled-negatives", 100]),
        (2, "'eas' is not one of popularity", [*evaluate, "--baselines", "eas"]),
        (2, "column 'shelves': the catalog has", [*evaluate, "--slice", "shelves"]),
        (2, "--categories shelves: the catalog", [*evaluate, "--categories", "shelves"]),
        (1, "did not learn the task 'rating': train", [*evaluate, "--ratings"]),
        (2, "--allow-leak x: is not one of", [*evaluate, "--allow-leak", "x"]),
        (2, "taken.parquet, which is some", [*evaluate, "--json", tmp_path / "taken.json"]),
        (2, "which is something else", [*evaluate, "--json", tmp_path / "taken.parquet"]),
        (2, "page.html, which is some", [*evaluate, "--json", tmp_path / "page.json"]),
        (2, "has no [prior] table", ["benchmark", plain]),
        (2, f"{tmp_path} is a folder: name a file", ["benchmark", plain, "--json", tmp_path]),
        (1, "there is no column 'shelves'", [*ask, "--max-per", "shelves=1"]),
        (1, "temperature is -1.0", [*ask, "--temperature", -1]),
        (2, "own.csv: cannot be read", [*ask, "--item-scores", own]),
        (1, "none.csv: No such file", [*ask, "--item-scores", tmp_path / "none.csv"]),
        (1, "item 'p9' is not in the catalog", [*ask, "--item-scores", unknown]),
        (1, "item 'p9' is not in the catalog", ["recommend", bundle, "--history", "p9"]),
        (2, "at least one --history or --user", ["recommend", bundle]),
        (1, "user 'x' is not in the data set", ["recommend", bundle, "--user", "x"]),
        (1, "is not a bundle", ["recommend", tmp_path, "--history", "p1"]),
        (2, "none.toml: cannot be read", ["train", tmp_path / "none.toml"]),
        (2, "key 'source'", ["prepare", "movielens-101k"]),
        (2, "refine: key 'method'", [*refine, "ppo"]),
        (2, "no history leaves 9 eligible items", [*refine, "dpo", "--set", "negatives=8"]),
        (1, "is not a bundle", ["refine", tmp_path, "--method", "dpo"]),
        (2, "compress: key 'weights'", ["compress", bundle, "--weights", "int4"]),
        (2, "drop_layers is 2: the model has 2", ["compress", bundle, "--drop-layers", 2]),
        (2, "heal_steps needs drop_layers", ["compress", bundle, "--heal-steps", 2]),
        (2, "there is nothing to do: give", ["compress", bundle]),
        (1, "is not a bundle", ["compress", tmp_path, "--weights", "int8"]),
        (2, "is not a JSON list", ["recommend", bundle, "--history", "[p1"]),
        (2, "choose one of beauty, domains, ", ["train", "quikstart"]),
        (2, "key 'data.sauce'", ["train", "quickstart", "--set", "data.sauce=1"]),
        (1, "no template 'nothing'", ["prompts", "show", "nothing"]),
        (1, "trained on another template", other),
    ]
    for expected, message, arguments in cases:
        code, line = error(*arguments)
        assert code == expected, line
        assert message in line


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["prepare"],
        ["train"],
        ["refine"],
        ["compress"],
        ["recommend"],
        ["evaluate"],
        ["report"],
        ["benchmark"],
        ["prompts", "list"],
        ["prompts", "show"],
        ["prompts", "render"],
        ["prompts", "lint"],
        ["prompts", "diff"],
        ["prompts", "experiment"],
    ],
)
def test_help_shows_examples(command: list[str]) -> None:
    assert f"recgen {' '.join(command)}".strip() in run(*command, "--help").output


def test_the_command_is_installed() -> None:
    command = Path(sys.executable).with_name("recgen")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("recgen, version ")


def test_an_error_without_a_file_names_none() -> None:
    @main.command("full")
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    try:
        assert error("full") == (1, "recgen: No space left on device")
    finally:
        del main.commands["full"]


def test_leaves_silently_when_its_reader_has_gone() -> None:
    command = "from rec_gen.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", command, "prompts", "show", "next_item"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


def test_what_a_bundle_lacks_is_one_line(tmp_path: Path) -> None:
    catalog = Catalog(pl.DataFrame({"item": ["a", "b"], "title": ["A", "B"]}))
    random_bundle(catalog, "title").save(tmp_path / "bundle")
    code, line = error("recommend", tmp_path / "bundle", "--user", "1")
    assert code == 1
    assert "'random' does not say which data it was trained on" in line
    code, line = error("recommend", tmp_path / "bundle", "--history", "a", "--prior-weight", 1)
    assert (code, "'random' holds no prior: train it with a [prior]" in line) == (1, True)

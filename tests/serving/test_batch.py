"""`recgen batch` on real bundles: every user once, whatever happens on the way."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filelock import FileLock

from rec_gen.errors import PromptError
from rec_gen.recommender import Recommender
from rec_gen.templates import Template
from rec_gen.testing import random_bundle
from serving.batch.config import BatchConfig
from serving.batch.input import Users
from serving.batch.job import JOB, LOCK
from serving.batch.work import Worker
from tests.rec_gen.command import error, run
from tests.serving.server import ROOT, until
from tests.toy import ITEMS, toy_dataset

HISTORIES = [["i1", "i2"], [], ["i5"], ["i3", "i4", "i5", "i6"], ["i1", "i2", "i9"]]
NAMES = [f"u{n}" for n in range(len(HISTORIES))]
ALL = [f"i{n}" for n in range(ITEMS)]


def table(path: Path, **columns: Any) -> Path:
    told = {"user": NAMES, "history": HISTORIES, **columns}
    pl.DataFrame(told, {**dict.fromkeys(told), "history": pl.List(pl.String)}).write_parquet(path)
    return path


def answers(output: Path) -> pl.DataFrame:
    return pl.read_parquet(sorted(output.glob("part-*.parquet")))


def failures(output: Path) -> pl.DataFrame:
    return pl.read_parquet(sorted(output.glob("failed-*.parquet")))


def contents(output: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in output.glob("*.parquet")}


def batch(*arguments: object) -> str:
    result = run("batch", *arguments)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def test_answers_are_the_recommenders_in_the_order_of_the_users(
    bundle: Path, tmp_path: Path
) -> None:
    users, output = table(tmp_path / "users.parquet"), tmp_path / "out"
    told = batch(bundle, users, output, "-k", 3, "--set", "part_rows=2", "--batch-size", 2)
    assert re.match(r"5 users in [\d.]+ s \(.*\), 0 of them failed; 0 were done before; ", told)
    found = answers(output)
    assert found.schema == {
        "user": pl.String, "rank": pl.Int32, "item": pl.String, "score": pl.Float64,
        "model": pl.String, "catalog_version": pl.String,
    }  # fmt: skip
    assert found["user"].to_list() == [user for user in NAMES for _ in range(3)]
    assert found["rank"].to_list() == [1, 2, 3] * len(NAMES)
    recommender = Recommender.load(bundle)
    manifest = recommender.bundle.manifest
    assert set(found["model"]) == {f"{manifest.name}@{manifest.digest[:12]}"}
    assert set(found["catalog_version"]) == {manifest.files["catalog.parquet"][:12]}
    expected = [one for answer in recommender.recommend(HISTORIES, 3) for one in answer]
    assert found["item"].to_list() == [one.item.id for one in expected]
    assert found["score"].to_list() == pytest.approx([one.score for one in expected], abs=1e-4)
    assert not list(output.glob("failed-*"))
    names = [f"part-{number:06}.parquet" for number in range(3)]
    assert sorted(contents(output)) == names


def test_a_row_that_cannot_be_answered_is_kept_with_its_reason(
    bundle: Path, tmp_path: Path
) -> None:
    histories = [["i1"], ["x"], ALL, ["i2"], None, [None], ["i3"]]
    names = ["a", "b", "c", None, "e", "f", "g"]
    users, output = tmp_path / "users.parquet", tmp_path / "out"
    table(users, user=names, history=histories)
    told = batch(bundle, users, output, "-k", 2, "--set", "part_rows=4")
    assert "5 of them failed" in told
    assert answers(output)["user"].to_list() == ["a", "a", "g", "g"]
    failed = failures(output)
    assert failed.schema == {"row": pl.Int64, "user": pl.String, "reason": pl.String}
    assert failed["row"].to_list() == [1, 2, 3, 4, 5]
    assert failed["user"].to_list() == ["b", "c", None, "e", "f"]
    assert failed["reason"].to_list() == [
        "item 'x' is not in the catalog of 12 items",
        "no item is left after the filters; loosen them",
        "the user is null: give every row an id",
        "the history is null: write an empty list where there is none",
        "item 'None' is not in the catalog of 12 items",
    ]


def test_a_folder_of_files_with_other_names_and_integers_is_the_same(
    tasks_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name, rows in (("b", slice(3, 5)), ("a", slice(0, 3))):
        columns = {"uid": range(5)[rows], "seen": HISTORIES[rows]}
        file = tmp_path / "in" / f"{name}.parquet"
        pl.DataFrame(columns, {"uid": pl.UInt32, "seen": pl.List(pl.String)}).write_parquet(file)
    names = ("--set", "columns.user=uid", "--set", "columns.history=seen")
    batch(tasks_bundle, tmp_path / "in", tmp_path / "out", *names)
    users = table(tmp_path / "users.parquet")
    batch(tasks_bundle, users, tmp_path / "one")
    several, one = answers(tmp_path / "out"), answers(tmp_path / "one")
    assert several["user"].dtype == pl.UInt32
    assert [NAMES[user] for user in several["user"]] == one["user"].to_list()
    assert several.drop("user").equals(one.drop("user"))


def test_a_user_who_stands_twice_is_refused_before_any_work(bundle: Path, tmp_path: Path) -> None:
    users = table(tmp_path / "users.parquet", user=["a", "b", "c", "b", "d"])
    code, line = error("batch", bundle, users, tmp_path / "out")
    assert code == 1
    assert f"user 'b' stands twice, in {users} row 1 and {users} row 3: " in line
    assert not contents(tmp_path / "out")
    table(users)
    batch(bundle, users, tmp_path / "out")


def test_what_is_missing_is_done_and_nothing_else(bundle: Path, tmp_path: Path) -> None:
    users, output = table(tmp_path / "users.parquet"), tmp_path / "out"
    command = (bundle, users, output, "-k", 3, "--set", "part_rows=2")
    batch(*command)
    before = contents(output)
    times = {file: file.stat().st_mtime_ns for file in output.glob("*.parquet")}
    lost = output / "part-000001.parquet"
    lost.unlink()
    (output / "failed-000001.parquet").touch()
    (output / ".part-000001.parquet.1.partial").touch()
    told = batch(*command, "--batch-size", 7)
    assert told.startswith("2 users in ")
    assert "3 were done before" in told
    assert sorted(contents(output)) == sorted(before)
    assert not list(output.glob(".*.partial"))
    changed = {f for f in output.glob("*.parquet") if f.stat().st_mtime_ns != times[f]}
    assert changed == {lost}
    assert batch(*command).startswith("0 users in ")


def test_another_job_is_refused_with_what_differs(bundle: Path, tmp_path: Path) -> None:
    users, output = table(tmp_path / "users.parquet"), tmp_path / "out"
    batch(bundle, users, output, "-k", 3)
    code, line = error("batch", bundle, users, output, "-k", 4)
    assert code == 2
    assert f"{output}: holds another job (options.k was 3, is 4): choose another folder" in line
    table(users, user=["a", "b", "c", "d", "e"])
    assert "(users.users.parquet.sha256 was " in error("batch", bundle, users, output, "-k", 3)[1]
    (output / JOB).unlink()
    assert "holds files of something else" in error("batch", bundle, users, output, "-k", 3)[1]


def test_a_part_of_another_job_is_never_mixed_in(bundle: Path, tmp_path: Path) -> None:
    users, output = table(tmp_path / "users.parquet"), tmp_path / "out"
    batch(bundle, users, output, "-k", 3, "--set", "part_rows=2")
    (output / "part-000000.parquet").unlink()
    fewer = table(tmp_path / "fewer.parquet", history=[[]] * len(NAMES))
    code, line = error("batch", bundle, fewer, output, "-k", 3, "--set", "part_rows=9")
    assert code == 2
    assert "holds another job" in line


def test_names_are_no_patterns_and_a_new_beginning_leaves_nothing_stale(
    bundle: Path, tmp_path: Path
) -> None:
    odd, output = tmp_path / "day=[1]", tmp_path / "out"
    odd.mkdir()
    output.mkdir()
    users = table(odd / "users[1].parquet")
    table(odd / "users1.parquet", user=[f"v{n}" for n in range(len(NAMES))])
    copied = shutil.copytree(bundle, odd / "b[1]")
    killed = (LOCK, f".{JOB}.77.partial", "failed-000009.parquet")
    (output / killed[0]).touch()
    (output / killed[1]).write_text("{")
    batch(copied, users, output)
    assert answers(output)["user"].unique(maintain_order=True).to_list() == NAMES
    (output / killed[2]).touch()
    (output / "part-000000.parquet").unlink()
    batch(copied, users, output, "--set", "part_rows=3")
    assert sorted(contents(output)) == ["part-000000.parquet", "part-000001.parquet"]


def test_a_bundle_that_needs_more_than_histories_is_refused(tmp_path: Path) -> None:
    plain = random_bundle(toy_dataset().catalog, "item")
    talking = replace(plain, template=Template.load("conversation"))
    users = table(tmp_path / "users.parquet")
    config = BatchConfig(bundle=tmp_path, users=users, output=tmp_path / "out")
    with pytest.raises(PromptError, match="the slot 'dialogue' needs what was said"):
        Worker(config, Users.open(users, config.columns), Recommender(talking))


def test_two_processes_do_not_work_in_one_folder(bundle: Path, tmp_path: Path) -> None:
    users, output = table(tmp_path / "users.parquet"), tmp_path / "out"
    output.mkdir()
    with FileLock(output / LOCK):
        code, line = error("batch", bundle, users, output)
    assert code == 2
    assert "another process works on it" in line
    batch(bundle, users, output)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--where", "colour == 1"), "colour"),
        (("--where", "brand == 'none'"), "no item of the catalog passes it"),
        (("--candidates", ""), "key 'columns.candidates'"),
        (("--ray", ""), "key 'ray.address'"),
        (("--device", "nowhere"), "device 'nowhere': torch cannot use it here"),
        (("--explain",), "did not learn the task 'explanation'"),
        (("-k", 0), "key 'k'"),
        (("--candidates", "none"), "has no column 'none'"),
        (("--set", "vllm.seed=1"), "say runtime = 'vllm'"),
        (("--ray", "127.0.0.1:1"), "no Ray cluster answers there"),
    ],
)
def test_a_wrong_option_writes_nothing_and_can_be_mended(
    options: Sequence[object], told: str, bundle: Path, tmp_path: Path
) -> None:
    users, output = table(tmp_path / "users.parquet"), tmp_path / "out"
    assert told in error("batch", bundle, users, output, *options)[1]
    assert not contents(output)
    batch(bundle, users, output)


def test_candidates_are_all_ranked_by_their_exact_scores(
    tasks_bundle: Path, tmp_path: Path
) -> None:
    candidates = [["i2", "i7", "i1"], ["i0"], ["i3", "i3", "i8"], [], ["i9", "i10", "i11", "y"]]
    users = table(tmp_path / "users.parquet", candidates=candidates)
    batch(tasks_bundle, users, tmp_path / "out", "--candidates", "candidates")
    found = answers(tmp_path / "out").group_by("user", maintain_order=True).agg("item", "score")
    recommender = Recommender.load(tasks_bundle)
    for place, (user, items, scores) in enumerate(found.iter_rows()):
        assert user == NAMES[place]
        (expected,) = recommender.recommend(
            [HISTORIES[place]], 12, allow=candidates[place], exclude_seen=False, exact=True
        )
        assert set(items) == set(candidates[place])
        assert items == [one.item.id for one in expected]
        assert scores == pytest.approx([one.score for one in expected], abs=1e-4)
    assert found.height == 3
    reasons = failures(tmp_path / "out")["reason"].to_list()
    assert reasons[0] == "there is no candidate to rank: name at least one item"
    assert reasons[1].startswith("item 'y' is not in the catalog")
    some = ("--candidates", "candidates", "-k", 1, "--set", "exclude_seen=true")
    batch(tasks_bundle, users, tmp_path / "some", *some)
    best = answers(tmp_path / "some")
    assert best["rank"].to_list() == [1, 1, 1]
    assert best["item"][0] == "i7"


def test_explanations_are_written_in_the_same_pass(tasks_bundle: Path, tmp_path: Path) -> None:
    users = table(tmp_path / "users.parquet")
    batch(tasks_bundle, users, tmp_path / "out", "-k", 4, "--explain")
    found = answers(tmp_path / "out")
    recommender = Recommender.load(tasks_bundle)
    for user, history in zip(NAMES, HISTORIES, strict=True):
        rows = found.filter(pl.col("user") == user)
        expected = recommender.explain(history, rows["item"].to_list())
        assert rows["explanation"].to_list() == expected
    assert found["explanation"].is_not_null().any()


def test_a_configuration_file_says_the_same(bundle: Path, tmp_path: Path) -> None:
    users, file = table(tmp_path / "users.parquet"), tmp_path / "batch.toml"
    file.write_text(
        'k = 2\nexact = true\nwhere = "brand == \'Brand A\'"\n[columns]\nuser = "user"\n'
    )
    batch(bundle, users, tmp_path / "out", "--config", file, "-k", 1)
    assert answers(tmp_path / "out").height == len(NAMES)
    recommender = Recommender.load(bundle)
    fields = {item.id: item.fields["brand"] for item in recommender.catalog}
    assert {fields[item] for item in answers(tmp_path / "out")["item"]} == {"Brand A"}


def start(bundle: Path, users: Path, output: Path, workers: int = 1) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "rec_gen", "batch", bundle, users, output]
    options = ["-k", "2", "--set", "part_rows=8", "--workers", str(workers)]
    return subprocess.Popen(
        [*map(str, command), *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def stop(process: "subprocess.Popen[str]", sign: signal.Signals, output: Path, parts: int) -> str:
    """Send a signal once there are so many parts; what it had said then."""
    until(lambda: process.poll() is not None or len(list(output.glob("part-*"))) >= parts)
    process.send_signal(sign)
    return process.communicate(timeout=60)[1]


@pytest.mark.slow
def test_a_killed_job_goes_on_and_repeats_and_loses_no_user(bundle: Path, tmp_path: Path) -> None:
    count = 1200
    histories = [[f"i{n % ITEMS}"] * (n % 5) if n % 100 else ["x"] for n in range(count)]
    users = table(tmp_path / "users.parquet", user=range(count), history=histories)
    output, whole = tmp_path / "out", tmp_path / "whole"
    process = start(bundle, users, output)
    stop(process, signal.SIGKILL, output, 3)
    assert process.returncode == -signal.SIGKILL
    process = start(bundle, users, output)
    told = stop(process, signal.SIGTERM, output, 60)
    assert process.returncode == 1
    done = len(list(output.glob("part-*.parquet")))
    assert told.endswith(
        f"recgen: stopped with {done} of 150 parts done: the same command goes on\n"
    )
    assert not list(output.glob(".*.partial"))
    process = start(bundle, users, output)
    assert f"{8 * done} were done before" in process.communicate(timeout=100)[0].replace(",", "")
    process = start(bundle, users, whole)
    process.communicate(timeout=100)
    assert process.returncode == 0
    assert contents(output) == contents(whole)
    found = sorted([*answers(output)["user"].unique(), *failures(output)["user"]])
    assert found == list(range(count))
    assert answers(output).select("user", "rank").is_unique().all()

"""`recgen chat` talks line by line."""

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from rec_gen.catalog import Catalog
from rec_gen.cli import main
from rec_gen.testing import random_bundle
from tests.rec_gen.test_wishes import FILMS


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chat") / "bundle"
    random_bundle(FILMS, "item", tasks=["reply"]).save(path)
    return path


def chat(bundle: Path, said: str | bytes, *options: str) -> Result:
    arguments = ["chat", str(bundle), "--max-tokens", "4", "--items", "1", *options]
    return CliRunner().invoke(main, arguments, input=said)


def test_a_reply_comes_with_its_items_and_what_was_understood(bundle: Path) -> None:
    result = chat(bundle, "no horror\n\nsomething cheaper\n/quit\nhi\n", "--history", "m1,m5")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("  1. ")] in (
        ["  1. Up (2009)  (item m3)", "  1. Big (1988)  (item m4)"],
        ["  1. Big (1988)  (item m4)", "  1. Up (2009)  (item m3)"],
    )
    assert lines.count("understood: no horror: not 'Horror' in genres") == 2
    problem = "understood: something cheaper: not kept: no column of the catalog holds a price"
    assert lines[-1] == problem


def test_wishes_are_dropped_and_all_is_forgotten(bundle: Path) -> None:
    said = "no horror\n/forget HORR\nhi\n/forget x\n/what\nnot Heat\n/reset\nhi\n"
    result = chat(bundle, said, "--json")
    replies = [json.loads(line) for line in result.stdout.splitlines()]
    assert [[wish["said"] for wish in reply["understood"]] for reply in replies] == [
        ["no horror"], [], ["not Heat"], [],
    ]  # fmt: skip
    assert result.stderr.splitlines() == [
        "forgotten: no horror",
        "nothing that was understood holds 'x'",
        "no command /what: there are /forget WORDS, /reset and /quit",
    ]
    for reply in replies:
        (item,) = reply["items"]
        assert reply["text"][item["start"] : item["stop"]] == item["title"]


def test_what_is_printed_is_printable(tmp_path: Path) -> None:
    frame = FILMS.frame.with_columns(title=pl.lit("Red\x1b[31m \u202e") + pl.col("item"))
    random_bundle(Catalog(frame), "item", tasks=["reply"]).save(tmp_path)
    for options in ((), ("--json",)):
        result = chat(tmp_path, "no\x1b horror\n/forget horror\n", *options)
        assert result.exit_code == 0
        assert all(line.isprintable() for line in result.stderr.splitlines())
        if options:
            assert json.loads(result.stdout)["items"][0]["title"].startswith("Red [31m m")
        assert all(line.isprintable() for line in result.stdout.splitlines())


def test_a_byte_that_is_no_text_ends_no_conversation(bundle: Path) -> None:
    result = chat(bundle, b"caf\xff cheaper\nhi\n")
    assert result.exit_code == 0
    assert "understood: caf\ufffd cheaper: not kept:" in result.stdout


def test_what_is_wrong_is_one_line_before_anything_is_said(bundle: Path, tmp_path: Path) -> None:
    random_bundle(FILMS, "item").save(tmp_path)
    silent = chat(tmp_path, "")
    assert silent.exit_code == 1
    assert "did not learn the task 'reply'" in silent.stderr
    result = chat(bundle, "", "--history", "m9")
    assert result.exit_code == 1
    assert "recgen: item 'm9' is not in the catalog" in result.stderr

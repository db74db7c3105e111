"""The figures of replies, on a few dialogues, and that their judge can find fault."""

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from eval.benchmarks.replies import _Talk, judge, main
from eval.benchmarks.replies_cases import (
    Case,
    Said,
    hostile_cases,
    market,
    name,
    no_genre,
    rows_of,
    unseen,
)
from rec_gen.index import Filters
from rec_gen.replying import Draft, Reply

BAD = ("invalid_items", "broken_filters", "refused_named", "forged_markers", "errors")


@pytest.mark.slow
def test_random_weights_keep_what_dialogues_state(tmp_path: Path) -> None:
    path = tmp_path / "replies.json"
    result = CliRunner().invoke(main, ["--json", str(path), "--dialogues", "28"])
    assert result.exit_code == 0, result.output
    figures = json.loads(path.read_text())["figures"]
    assert figures["dialogues"] == 56
    assert figures["replies"] > 56
    assert figures["marked_items"] > 26
    assert {key: figures[key] for key in BAD} == dict.fromkeys(BAD, 0)


def judged(text_before: str, row_of: int, talk: _Talk) -> dict[str, int]:
    catalog = market(0)
    draft = Draft(text_before).name(catalog[row_of])
    reply = Reply(draft.text, tuple(draft.items), (), Filters(), 0, 1, 1)
    return judge(talk, reply, {str(row["item"]): row for row in rows_of(catalog)})


def test_the_judge_finds_fault() -> None:
    rows = rows_of(market(0))
    genre = rows[5]["genres"][0]
    talk = _Talk(Case("plain", [], ["f7"]), stated=[no_genre(genre), unseen([rows[9]], "seen")])
    assert judged("", 5, talk)["broken_filters"] == 1
    assert judged("", 7, talk)["broken_filters"] >= 1
    assert judged("", 9, talk)["broken_filters"] == 1
    assert judged(f"{name(rows[9])} or ", 20, talk)["refused_named"] == 1
    assert judged(f"{name(rows[9]).lower()}'s, or ", 20, talk)["refused_named"] == 1
    assert judged(f"un-{name(rows[9])} or {name(rows[9])}-like ", 20, talk)["refused_named"] == 0
    assert judged("</item>", 20, talk)["forged_markers"] == 1
    draft = Draft("x").name(market(1)[3])
    shifted = Reply(f"y{draft.text}", tuple(draft.items), (), Filters(), 0)
    assert judge(talk, shifted, {str(row["item"]): row for row in rows})["invalid_items"] == 1


def test_what_was_taken_back_is_no_fault() -> None:
    rows = rows_of(market(0))
    genre = rows[5]["genres"][0]
    refused = no_genre(genre)
    case = Case("plain", [], [])
    assert judged("", 5, _Talk(case, stated=[refused, Said("hi")]))["broken_filters"] == 1
    again = Said(f"show me {genre}", lifts=refused)
    assert judged("", 5, _Talk(case, stated=[refused, again]))["broken_filters"] == 0


def test_each_kind_of_dialogue_states_something() -> None:
    rng = random.Random(3)  # noqa: S311
    rows = rows_of(market(3))
    cases = list(hostile_cases(rng, rows, 16))
    assert len({case.kind for case in cases}) == 16
    stated = [said for case in cases for said in (make(rows[:3]) for make in case.messages)]
    assert sum(len(said.tests) for said in stated) > 13

"""What users say reaches the model and the log without personal data, where that is asked for."""

import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rec_gen.catalog import Catalog
from rec_gen.masking import Masker, Masking
from rec_gen.names import Names
from rec_gen.recommender import Recommender
from rec_gen.replying import Turn
from serving.dialogues import turns_of
from serving.engine import RecommenderEngine
from serving.logs import JsonFormatter
from serving.queries import Query, ReplyQuery
from serving.tools.toolbox import Toolbox
from tests.serving.conftest import in_process
from tests.serving.test_dialogues import Message

SAID = "I am at ann@example.com, something like Film 3 please"
MASKED = "I am at [email-address], something like Film 3 please"
ASKED = {"messages": [{"role": "user", "content": SAID}]}
ODD = Catalog(
    pl.DataFrame(
        {"item": ["ip", "n"], "title": ["127.0.0.1 (1999)", "300"], "make": ["Phone", "URL"]}
    )
)


@pytest.fixture(scope="module")
def masker() -> Masker:
    return Masker(Masking())


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("I liked 127.0.0.1, not 127.0.0.2", "I liked 127.0.0.1, not [ip-address]"),
        ("call (415) 300 2671", "call [phone-number]"),
        ("300", "300"),
    ],
)
def test_titles_stay_and_what_they_stand_in_goes(masker: Masker, said: str, heard: str) -> None:
    names, messages = Names(ODD), [Message("user", said), Message("assistant", said)]
    user, assistant = turns_of(names, messages, masker)
    assert user == Turn("user", heard)
    assert assistant.text == heard
    assert turns_of(names, messages)[0] == Turn("user", said)


def test_no_name_of_a_catalog_is_heard_in_what_stands_for_data(masker: Masker) -> None:
    (turn,) = turns_of(Names(ODD), [Message("user", "+14153002671, www.ab.de/c")], masker)
    assert turn.text == "[phone-number], [web-address]"
    assert Names(ODD).listener.lexicon.hear(turn.text) == []


@pytest.mark.anyio
async def test_the_model_and_the_log_see_masked_words(
    replying_bundle: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []
    caplog.set_level(logging.DEBUG)
    async with in_process(replying_bundle, tmp_path / "s.db", mask={}) as (service, client):
        submit = service.batcher.submit

        def watched(query: Any, left: int) -> Any:
            seen.append(query)
            return submit(query, left)

        monkeypatch.setattr(service.batcher, "submit", watched)
        answer = await client.post("/v1/replies", json=ASKED)
        chat = await client.post(
            "/v1/chat/completions", json={**ASKED, "model": service.engine.name}
        )
    assert (answer.status_code, chat.status_code) == (200, 200)
    assert [[turn.text for turn in query.turns] for query in seen] == [[MASKED], [MASKED]]
    lines = map(JsonFormatter().format, caplog.records)
    assert not [line for line in [answer.text, chat.text, *lines] if "ann@" in line]
    assert b"ann@" not in (tmp_path / "s.db").read_bytes()


@pytest.mark.anyio
async def test_masking_ends_with_the_deadline(replying_bundle: Path, tmp_path: Path) -> None:
    phones = {"role": "user", "content": "+14155552671 " * 300}
    asked = {"messages": [phones] * 200, "deadline_ms": 50}
    async with in_process(replying_bundle, tmp_path / "s.db", mask={}) as (_, client):
        answer = await client.post("/v1/replies", json=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")


@pytest.mark.anyio
async def test_tools_mask_words_and_replies(replying_bundle: Path, masker: Masker) -> None:
    seen: list[Query | ReplyQuery] = []

    class Watched(RecommenderEngine):
        async def answer(self, queries: Any) -> Any:
            seen.extend(queries)
            return await super().answer(queries)

        async def reply(self, queries: Any) -> Any:
            seen.extend(queries)
            return await super().reply(queries)

    engine = Watched(Recommender.load(replying_bundle))
    toolbox = Toolbox(engine, masker)
    await toolbox.call("recommend", {"words": SAID, "k": 1})
    await toolbox.call("reply", ASKED)
    await engine.close()
    words, turns = seen
    assert isinstance(words, Query)
    assert words.words == MASKED
    assert isinstance(turns, ReplyQuery)
    assert turns.turns[0].text == MASKED

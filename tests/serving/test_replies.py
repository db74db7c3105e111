"""Replies over HTTP: what they name, what was understood, and what is refused."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rec_gen.config import parse_config
from rec_gen.errors import RecGenError
from rec_gen.index import Filters
from rec_gen.recommender import Recommender
from rec_gen.replying import Mentioned, Reply
from serving.app import create_app
from serving.chat_schemas import ChatCompletion
from serving.config import ServeConfig
from serving.engine import RecommenderEngine
from serving.queries import ReplyQuery
from serving.reply_schemas import ReplyAnswer, ReplyRequest
from serving.service import Service, open_service
from tests.serving.conftest import in_process
from tests.serving.server import ROOT, engine_of, served, until
from tests.serving.test_api import JSON, assert_shape

pytestmark = pytest.mark.anyio
REPLY, CHAT = "/v1/replies", "/v1/chat/completions"
Api = tuple[Service, httpx.AsyncClient]


@pytest.fixture(scope="module")
async def api(
    replying_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    store = tmp_path_factory.mktemp("store") / "store.db"
    async with in_process(replying_bundle, store, limits={"k": 5, "reply_tokens": 100}) as pair:
        yield pair


@pytest.fixture
def client(api: Api) -> httpx.AsyncClient:
    return api[1]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str, items: list[str] | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **({} if items is None else {"items": items})}


async def replied(client: httpx.AsyncClient, *messages: Any, **more: Any) -> dict[str, Any]:
    asked = {"messages": messages, "max_tokens": 8, **more}
    answer = await client.post(REPLY, json=asked)
    assert answer.status_code == 200, answer.text
    ReplyAnswer.model_validate(answer.json())
    told: dict[str, Any] = answer.json()
    return told


def named(answer: dict[str, Any]) -> set[str]:
    return {item["id"] for item in answer["items"]}


async def test_a_reply_names_items_where_it_says(api: Api) -> None:
    service, client = api
    given = service.metrics.items._value.get()
    answer = await replied(client, user("What now?"), history=["i1"], items=2)
    assert 0 < len(answer["items"]) <= 2
    assert service.metrics.items._value.get() == given + len(answer["items"])
    for item in answer["items"]:
        assert answer["text"][item["start"] : item["stop"]] == item["title"]
        assert item["fields"]["brand"]
        assert item["score"] < 0
    assert answer["model"] == service.engine.name
    assert answer["usage"]["prompt_tokens"] > 0
    assert answer["catalog_version"] == service.engine.version
    assert answer == {**await replied(client, user("What now?"), history=["i1"], items=2),
                      "id": answer["id"]}  # fmt: skip
    drawn = [
        await replied(client, user("What now?"), temperature=2.0, seed=seed) for seed in (1, 1, 2)
    ]
    texts = [one["text"] for one in drawn]
    assert texts[0] == texts[1] != texts[2]


async def test_stated_filters_hold_and_can_be_taken_back(client: httpx.AsyncClient) -> None:
    wished = await replied(client, user("not Brand A, and under 120 minutes"), items=5)
    rules = [wish["rule"] for wish in wished["understood"]]
    assert rules == ["not brand == 'Brand A'", "minutes < 120"]
    assert all(wish["said"] for wish in wished["understood"])
    for item in wished["items"]:
        assert item["fields"]["brand"] != "Brand A"
        assert item["fields"]["minutes"] < 120
    only = {"allow": ["i0", "i3", "i4"], "block": ["i4"], "where": "minutes > 95"}
    nothing = await replied(client, user("not Brand A"), **only)
    assert not nothing["items"]
    said = [wish["said"] for wish in nothing["understood"]]
    back = await replied(client, user("not Brand A"), **only, ignore=said)
    assert not back["understood"]
    turns = (user("not Brand A"), assistant("Film 2 cedar."), user("not Brand A"))
    again = await replied(client, *turns, ignore=["1: not Brand A"])
    assert len(again["understood"]) == 1
    assert named(back) == {"i3"}


@pytest.mark.parametrize("items", [["i2", "i5"], None])
async def test_what_was_recommended_can_be_referred_to(
    client: httpx.AsyncClient, items: list[str] | None
) -> None:
    first = assistant("Film 2 cedar or Film 5 frost.", items)
    answer = await replied(client, user("Hi"), first, user("Something shorter than the second one"))
    assert [wish["rule"] for wish in answer["understood"]] == ["minutes < 115"]
    assert all(item["fields"]["minutes"] < 115 for item in answer["items"])
    seen = await replied(client, user("Hi"), first, user("I have seen the second one"))
    assert [wish["block"] for wish in seen["understood"]] == [["i5"]]


async def test_a_user_is_read_of_the_store(client: httpx.AsyncClient) -> None:
    for item in ("i1", "i4"):
        event = {"user": "u", "item": item, "session": "s"}
        (await client.post("/v1/events", json=event)).raise_for_status()
    told = {"allow": ["i1", "i4", "i7"], "block": ["i7"]}
    assert not named(await replied(client, user("Hi"), user="u", session="s", **told))
    assert named(await replied(client, user("Hi"), **told))


async def test_a_removed_item_is_not_named_and_can_still_be_asked_about(
    client: httpx.AsyncClient,
) -> None:
    (await client.delete("/v1/items/i8")).raise_for_status()
    gone = {"allow": ["i8", "i9"], "items": 2}
    assert named(await replied(client, user("Hi"), **gone)) == {"i9"}
    turns = (user("Hi"), assistant("Film 8 iris.", ["i8"]), user("Why the first one?"))
    assert named(await replied(client, *turns)) == {"i8"}


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, "missing", "messages"),
        ({"messages": []}, 400, "too_short", "messages"),
        ({"messages": [user(" ")]}, 400, "missing", "messages"),
        ({"messages": [user("x"), assistant("y", [])]}, 400, "missing", "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, 400, "literal_error",
         "messages.0.role"),
        ({"messages": [user("x") | {"name": "x"}]}, 400, "extra_forbidden", "messages.0.name"),
        ({"messages": [assistant("x", ["nope"]), user("x")]}, 422, "unknown_item", "messages"),
        ({"messages": [user("x")], "history": ["nope"]}, 422, "unknown_item", "history"),
        ({"messages": [user("x")], "session": "s"}, 400, "missing", "history"),
        ({"messages": [user("x")], "items": 6}, 400, "items_too_large", "items"),
        ({"messages": [user("x")], "items": 0}, 400, "greater_than_equal", "items"),
        ({"messages": [user("x")], "max_tokens": 101}, 400, "too_many_tokens", "max_tokens"),
        ({"messages": [user("x")], "where": "price <"}, 400, "invalid_rule", "where"),
        ({"messages": [user("x")], "k": 3}, 400, "extra_forbidden", "k"),
    ],
)  # fmt: skip
async def test_a_wrong_request_names_its_field(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, code: str, param: str
) -> None:
    answer = await client.post(REPLY, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)


async def test_who_has_not_learnt_it_says_so(bundle: Path, tmp_path: Path) -> None:
    async with in_process(bundle, tmp_path / "store.db") as (_, client):
        answer = await client.post(REPLY, json={"messages": [user("Hi")]})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "unsupported")
        assert error["message"] == "the model has not learnt to reply"


def test_the_documents_show_what_is_asked_and_answered() -> None:
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    (asked,) = re.findall(r"POST /v1/replies\n(\{.*?\})\n```", text, re.DOTALL)
    ReplyRequest.model_validate_json(asked)
    (answered,) = re.findall(r'```json\n(\{"id": "reply.*?\})\n```', text, re.DOTALL)
    for item in ReplyAnswer.model_validate_json(answered).items:
        assert json.loads(answered)["text"][item.start : item.stop] == item.title


async def test_a_chat_is_replied_to(client: httpx.AsyncClient) -> None:
    (model,) = (await client.get("/v1/models")).json()["data"]
    messages = [
        {"role": "system", "content": "Be brief."},
        user("Hi"),
        assistant("Film 2 cedar."),
        user("Seen it. Not Brand A."),
    ]
    asked = {"model": model["id"], "messages": messages, "max_completion_tokens": 8, "items": 2}
    whole = (await client.post(CHAT, json=asked)).raise_for_status().json()
    ChatCompletion.model_validate(whole)
    text = whole["choices"][0]["message"]["content"]
    assert 0 < len(whole["items"]) <= 2
    for item in whole["items"]:
        assert text[item["start"] : item["stop"]] == item["title"]
        assert item["fields"]["brand"] != "Brand A"
    assert [wish["block"] for wish in whole["understood"]] == [["i2"], []]
    streamed = (await client.post(CHAT, json={**asked, "stream": True})).text
    lines = [line.removeprefix("data: ") for line in streamed.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in chunks) == text
    assert [item for one in chunks for item in one.get("items", ())] == whole["items"]
    assert chunks[-1]["understood"] == whole["understood"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from([REPLY, CHAT]),
    said=st.lists(
        st.fixed_dictionaries(
            {
                "role": st.sampled_from(["user", "assistant"]),
                "content": st.text(max_size=40) | JSON,
            },
            optional={"items": st.lists(st.sampled_from(["i1", "i2", "x"]), max_size=3)},
        ),
        max_size=4,
    ),
    more=st.dictionaries(st.sampled_from(["items", "ignore", "where", "allow", "seed"]), JSON),
)
async def test_no_dialogue_breaks_the_server(
    client: httpx.AsyncClient, path: str, said: list[Any], more: dict[str, Any]
) -> None:
    body = {"messages": said, "max_tokens": 4, **more}
    if path == CHAT:
        body["model"] = "random"
    headers = {"Content-Type": "application/json"}
    answer = await client.post(path, content=json.dumps(body).encode(), headers=headers)
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert_shape(answer)


class Lying(RecommenderEngine):
    """Names what is not offered."""

    async def reply(self, queries: Sequence[ReplyQuery]) -> list[Reply | RecGenError]:
        item = self.catalog[self.catalog.position("i3")]
        named = (Mentioned(item, -1.0, 0, len(item.title)),)
        return [Reply(item.title, named, (), Filters(), self.version, 1, 1) for _ in queries]


async def test_a_reply_that_names_what_is_not_offered_is_not_given(
    replying_bundle: Path, tmp_path: Path
) -> None:
    async def start(_: ServeConfig) -> RecommenderEngine:
        return Lying(await asyncio.to_thread(Recommender.load, replying_bundle))

    table = {"bundle": replying_bundle, "store": f"sqlite:///{tmp_path}/store.db"}
    async with open_service(parse_config(ServeConfig, table), start) as service:
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert named(await replied(client, user("Hi"))) == {"i3"}
            (await client.delete("/v1/items/i3")).raise_for_status()
            answer = await client.post(REPLY, json={"messages": [user("Hi")]})
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (500, "invalid_item")
            assert service.metrics.invalid._value.get() == 1


@pytest.mark.slow
def test_replies_of_a_real_server_and_after_its_model_was_killed(
    replying_bundle: Path, tmp_path: Path
) -> None:
    with (
        served(replying_bundle, "--store", f"sqlite:///{tmp_path}/store.db") as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as chat,
        server.client() as client,
    ):
        turns: Any = [user("Hi"), assistant("Two.", ["i2", "i5"]), user("Shorter than the second")]
        asked = {"messages": turns, "max_tokens": 8}
        before = client.post(REPLY, json=asked).raise_for_status().json()
        assert [wish["rule"] for wish in before["understood"]] == ["minutes < 115"]
        model = before["model"]
        answer = chat.chat.completions.create(model=model, messages=turns, max_tokens=8)
        assert answer.choices[0].message.content == before["text"]
        put = {"items": [{"id": "n", "title": "New", "fields": {"minutes": 80}}]}
        client.put("/v1/items", json=put).raise_for_status()
        engine_of(server).kill()
        until(lambda: client.get("/readyz").status_code == 503)
        assert client.post(REPLY, json=asked).status_code == 503
        until(lambda: client.get("/readyz").status_code == 200)
        after = client.post(REPLY, json=asked | {"allow": ["n"]}).raise_for_status().json()
        assert named(after) == {"n"}
        assert after["catalog_version"] > before["catalog_version"]

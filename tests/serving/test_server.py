"""A server as clients see it: a real process, real HTTP."""

import signal
from pathlib import Path

import openai
import pytest

from tests.rec_gen.command import run
from tests.serving.server import Server, served

ALL = {f"i{item}" for item in range(12)}


def recommended(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [item["id"] for item in answer["items"]]


def test_recommends(server: Server) -> None:
    with server.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").status_code == 200
        answer = client.post("/v1/recommendations", json={"history": ["i1", "i2"], "k": 99})
        body = answer.json()
        assert set(recommended(body)) == ALL - {"i1", "i2"}
        assert body["usage"]["prompt_tokens"] > 0
        assert "search;dur=" in answer.headers["server-timing"]
        filtered = client.post(
            "/v1/recommendations",
            json={"history": [], "k": 99, "where": 'brand == "Brand A"', "block": ["i3"]},
        )
        assert set(recommended(filtered.json())) == {"i0", "i6", "i9"}


def test_an_event_is_seen_by_the_next_answer(server: Server) -> None:
    with server.client() as client:
        for item in ("i4", "i5"):
            event = {"user": "u/1 ü", "item": item, "session": "s"}
            assert client.post("/v1/events", json=event).json() == {"kept": True}
            answer = client.post("/v1/recommendations", json={"user": "u/1 ü", "k": 99}).json()
            assert item not in recommended(answer)
        assert len(recommended(answer)) == 10
        same = client.post("/v1/recommendations", json={"history": ["i4", "i5"], "k": 99}).json()
        assert recommended(same) == recommended(answer)
        other = {"user": "u/1 ü", "session": "t", "k": 99}
        assert len(recommended(client.post("/v1/recommendations", json=other).json())) == 12
        history = client.get("/v1/users/u%2F1 ü/history").json()
        assert [event["item"] for event in history["events"]] == ["i4", "i5"]
        assert client.delete("/v1/users/u%2F1 ü").json() == {"events": 2}
        assert client.get("/v1/users/u%2F1 ü/history").json()["events"] == []


def test_a_retried_event_is_counted_once(server: Server) -> None:
    with server.client() as client:
        event = {"user": "retry", "item": "i4"}
        key = {"Idempotency-Key": "e1"}
        assert client.post("/v1/events", json=event, headers=key).json() == {"kept": True}
        assert client.post("/v1/events", json=event, headers=key).json() == {"kept": False}
        conflict = client.post("/v1/events", json={**event, "item": "i5"}, headers=key)
        assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "conflict")
        assert len(client.get("/v1/users/retry/history").json()["events"]) == 1


def test_a_user_is_forgotten_by_command_meanwhile(server: Server) -> None:
    url = str(server.process.args[-1])  # type: ignore[index]
    store = Path(url.removeprefix("sqlite:///"))
    with server.client() as client:
        for user in ("ann-0815", "bob-0815") * 9:
            assert client.post("/v1/events", json={"user": user, "item": "i1"}).status_code == 200
        done = run("forget", "ann-0815", "--store", url)
        assert (done.exit_code, done.output) == (0, f"removed: {url}: 9 events\n")
        for file in store.parent.glob("store.db*"):
            assert b"ann-0815" not in file.read_bytes()
        assert client.get("/v1/users/ann-0815/history").json()["events"] == []
        assert client.post("/v1/events", json={"user": "bob-0815", "item": "i2"}).is_success
        assert len(client.get("/v1/users/bob-0815/history").json()["events"]) == 10
    assert any('"/v1/events"' in line for line in server.logs)
    assert not [line for line in server.logs if "ann-0815" in line]


def test_items_are_put_found_and_removed(server: Server) -> None:
    with server.client() as client:
        item = {"id": "new/1", "title": "Zebra crossing", "fields": {"brand": "Brand Z"}}
        assert client.put("/v1/items", json={"items": [item]}).json() == {"catalog_version": 1}
        assert client.put("/v1/items", json={"items": [item, item]}).status_code == 400
        found = client.get("/v1/items", params={"query": "ZEBRA"}).json()["items"]
        assert found == [item]
        only = {"history": ["i1"], "where": 'brand == "Brand Z"'}
        assert recommended(client.post("/v1/recommendations", json=only).json()) == ["new/1"]
        assert client.delete("/v1/items/new%2F1").status_code == 200
        assert client.delete("/v1/items/new%2F1").status_code == 404
        gone = client.get("/v1/items", params={"query": "zebra"}).json()
        assert gone == {"items": [], "total": 0}
        gone = client.post("/v1/recommendations", json=only)
        assert (gone.status_code, gone.json()["error"]["code"]) == (422, "no_eligible_item")


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill(bundle: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    with served(bundle, "--store", store) as server, server.client() as client:
        for item in ("i1", "i2"):
            client.post("/v1/events", json={"user": "u", "item": item}).raise_for_status()
        put = {"items": [{"id": "n", "title": "New"}, {"id": "i3", "title": "Renamed"}]}
        client.put("/v1/items", json=put).raise_for_status()
        client.delete("/v1/items/i5").raise_for_status()
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    with served(bundle, "--store", store) as server, server.client() as client:
        answer = client.post("/v1/recommendations", json={"user": "u", "k": 99}).json()
        assert set(recommended(answer)) == (ALL | {"n"}) - {"i1", "i2", "i5"}
        assert {item["title"] for item in answer["items"] if item["id"] == "i3"} == {"Renamed"}
        assert server.stop() == 0


def test_openai_client(server: Server) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        (model,) = client.models.list().data
        assert model.id == "toy"
        asked = {
            "model": "toy",
            "messages": [{"role": "user", "content": "what next?"}],
            "extra_body": {"history": ["i1", "i2"], "k": 3},
        }
        whole = client.chat.completions.create(**asked)  # type: ignore[call-overload]
        text = whole.choices[0].message.content
        assert text.split("\n") == [item["title"] for item in whole.items]
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
        options = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = list(client.chat.completions.create(**asked, **options))  # type: ignore[call-overload]
        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(pieces) == text
        assert [item for chunk in chunks for item in getattr(chunk, "items", ())] == whole.items
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage == whole.usage
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(**{**asked, "model": "gpt"})  # type: ignore[call-overload]
        assert caught.value.code == "model_not_found"
        assert caught.value.param == "model"


@pytest.mark.slow
def test_openai_client_searches_for_words(tasks_bundle: Path, tmp_path: Path) -> None:
    with (
        served(tasks_bundle, "--store", f"sqlite:///{tmp_path}/store.db") as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client,
    ):
        answer = client.chat.completions.create(
            model="toy",
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "ignored"},
                {"role": "assistant", "content": "Film 1"},
                {"role": "user", "content": [{"type": "text", "text": "something with amber"}]},
            ],
            extra_body={"k": 20, "history": ["i4"]},
        )
        found = {item["id"] for item in answer.items}  # type: ignore[attr-defined]
        assert found == ALL - {"i4"}
        with server.client() as plain:
            asked = {"history": ["i1"], "k": 99, "explain": True}
            items = plain.post("/v1/recommendations", json=asked).json()["items"]
            shared = "It shares Brand B (brand) with Film 1 birch."
            said = {item["id"]: item["explanation"] for item in items}
            assert said == {i: shared if i in ("i4", "i7", "i10") else None for i in ALL - {"i1"}}
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="toy", messages=[{"role": "user", "content": ""}])
        assert caught.value.param == "messages"

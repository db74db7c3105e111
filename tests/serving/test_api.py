"""The API without a socket: what is refused, and how."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.service import Service
from tests.serving.conftest import in_process

pytestmark = pytest.mark.anyio
ASK = "/v1/recommendations"


@pytest.fixture(scope="module")
async def api(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    store = tmp_path_factory.mktemp("store") / "store.db"
    limits = {"history": 20, "k": 50, "body_bytes": 4096, "body_seconds": 0.2}
    async with in_process(bundle, store, limits=limits) as pair:
        yield pair


@pytest.fixture
def client(api: tuple[Service, httpx.AsyncClient]) -> httpx.AsyncClient:
    return api[1]


def assert_shape(answer: httpx.Response) -> dict[str, str]:
    error: dict[str, str] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["code"]
    return error


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, "missing", "history"),
        ({"history": ["i1"], "k": 0}, 400, "greater_than_equal", "k"),
        ({"history": ["i1"], "k": 51}, 400, "k_too_large", "k"),
        ({"history": ["i1"], "k": "5"}, 400, "int_type", "k"),
        ({"history": ["i1"], "kk": 5}, 400, "extra_forbidden", "kk"),
        ({"history": ["i1"] * 21}, 400, "history_too_long", "history"),
        ({"history": "i1"}, 400, "list_type", "history"),
        ({"history": ["i1", 5]}, 400, "string_type", "history.1"),
        ({"history": [""]}, 400, "string_too_short", "history.0"),
        ({"history": ["i1"], "session": "s"}, 400, "both", "session"),
        ({"history": ["nope"]}, 422, "unknown_item", "history"),
        ({"history": [], "allow": ["nope"]}, 422, "unknown_item", "allow"),
        ({"history": [], "block": ["nope"]}, 422, "unknown_item", "block"),
        ({"history": [], "allow": []}, 422, "no_eligible_item", None),
        ({"history": [], "where": "price <"}, 400, "invalid_rule", "where"),
        ({"history": [], "where": "__import__('os')"}, 400, "invalid_rule", "where"),
        ({"history": [], "where": "(" * 3000}, 400, "invalid_rule", "where"),
        ({"history": [], "max_per": {"column": "x", "most": 1}}, 400, "invalid_option", "max_per"),
        ({"history": [], "explain": True}, 400, "unsupported", "explain"),
        ({"history": [], "template": "other"}, 400, "other_template", "template"),
        ({"history": [], "adapter": "other"}, 404, "model_not_found", "adapter"),
        ({"user": "a\u0000b"}, 400, "string_pattern_mismatch", "user"),
        ({"history": [], "temperature": -1}, 400, "greater_than_equal", "temperature"),
    ],
)
async def test_a_wrong_request_names_its_field(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    answer = await client.post(ASK, json=body)
    error = assert_shape(answer)
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"null", 400),
        (b"[]", 400),
        (b"\xff\xfe", 400),
        (b'{"history": [NaN]}', 400),
        (b'{"history": ["\\ud800"]}', 400),
        (b'{"history": [], "seed": 1' + b"0" * 4000 + b"}", 400),
        (b'{"history": ' + b"[" * 17 + b"]" * 17 + b"}", 400),
        (b"[" * 2000, 400),
        (b'"' + b"\\" * 2000, 400),
        (b" " * 5000, 413),
        (b'{"history": ["' + b"a" * 5000 + b'"]}', 413),
    ],
)
async def test_a_malformed_body_is_refused(
    client: httpx.AsyncClient, content: bytes, status: int
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.post(ASK, content=content, headers=headers)
    assert_shape(answer)
    assert answer.status_code == status


async def test_a_body_without_a_length_has_the_same_limits(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000

    answer = await client.post(ASK, content=endless())
    assert (answer.status_code, assert_shape(answer)["code"]) == (413, "body_too_large")


async def test_a_slow_body_is_given_up(api: tuple[Service, httpx.AsyncClient]) -> None:
    app = api[1]._transport.app  # type: ignore[attr-defined]
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": ASK, "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }  # fmt: skip
    await app(scope, receive, send)
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/nope", "/docs", "/page/", "/page/index.html", "/page/../app.py"]
)
async def test_other_paths_are_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, assert_shape(answer)["code"]) == (404, "not_found")
    assert (await client.delete(ASK)).status_code == 405


async def test_what_is_served_is_told(client: httpx.AsyncClient) -> None:
    told = (await client.get("/v1/info")).json()
    version = told.pop("catalog_version")
    assert told == {
        "name": "toy", "template": "sequence", "tasks": ["next_item"],
        "columns": ["item", "title", "brand"], "items": 12, "offered": 12,
        "limits": {"k": 50, "history": 20},
        "domains": [
            {
                "name": "toy", "template": "sequence", "items": 12,
                "columns": ["item", "title", "brand"],
            },
        ],
    }  # fmt: skip
    (await client.delete("/v1/items/i9")).raise_for_status()
    less = (await client.get("/v1/info")).json()
    assert (less["items"], less["offered"], less["catalog_version"]) == (12, 11, version + 1)
    item = {"id": "i9", "title": "Film 9 jade", "fields": {"brand": "Brand A"}}
    await client.put("/v1/items", json={"items": [item]})
    assert (await client.get("/v1/info")).json()["offered"] == 12


@pytest.mark.parametrize(
    ("params", "found", "total"),
    [
        ({}, [f"i{item}" for item in range(12)], 12),
        ({"limit": "2"}, ["i0", "i1"], 12),
        ({"query": "FILM 1"}, ["i1", "i10", "i11"], 3),
        ({"where": 'brand == "Brand A"', "limit": "1"}, ["i0"], 4),
        ({"query": "film 1", "where": 'brand == "Brand B"'}, ["i1", "i10"], 2),
        ({"query": "film.1"}, [], 0),
        ({"where": 'brand == "none"'}, [], 0),
    ],
)
async def test_items_are_found_by_title_and_rule(
    client: httpx.AsyncClient, params: dict[str, str], found: list[str], total: int
) -> None:
    answer = (await client.get("/v1/items", params=params)).json()
    assert [item["id"] for item in answer["items"]] == found
    assert answer["total"] == total


async def test_a_wrong_rule_names_its_parameter(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/items", params={"where": "price < 3"})
    error = assert_shape(answer)
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_rule", "where")


async def test_answers_carry_headers_of_safety_and_an_id(client: httpx.AsyncClient) -> None:
    answer = await client.get("/healthz", headers={"X-Request-ID": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers
    forged = await client.get("/healthz", headers={"X-Request-ID": "a b\t" + "c" * 100})
    assert len(forged.headers["x-request-id"]) == 16


async def test_a_page_of_another_site_is_not_let_in(client: httpx.AsyncClient) -> None:
    foreign = await client.post(ASK, json={"history": []}, headers={"Host": "evil.example:80"})
    assert (foreign.status_code, assert_shape(foreign)["code"]) == (403, "wrong_host")
    simple = await client.post(
        ASK, content=b'{"history": []}', headers={"Content-Type": "text/plain"}
    )
    assert simple.status_code == 400
    for host in ("localhost:80", "127.0.0.1", "[::1]:8000"):
        assert (await client.get("/v1/models", headers={"Host": host})).status_code == 200


async def test_the_description_has_examples_that_work(client: httpx.AsyncClient) -> None:
    described = (await client.get("/openapi.json")).json()
    assert "RecommendationRequest" in described["components"]["schemas"]
    for path in ("/v1/recommendations", "/v1/chat/completions", "/v1/events", "/v1/items"):
        assert path in described["paths"]


async def test_null_is_the_default_as_with_openai(client: httpx.AsyncClient) -> None:
    told = {"model": "toy", "messages": [{"role": "user", "content": "a film"}], "history": ["i1"]}
    path = "/v1/chat/completions"
    plain = (await client.post(path, json=told)).raise_for_status().json()
    nulls = (await client.post(path, json={**told, "stream": None, "max_tokens": None})).json()
    assert nulls["choices"] == plain["choices"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["i1", "u", "\ud800", "\x00", "toy", "user", "text", "a" * 300]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        "history", "user", "session", "k", "where", "allow", "block", "exclude_seen", "max_per",
        "temperature", "seed", "deadline_ms", "template", "adapter", "item", "kind", "items",
        "model", "messages", "stream", "stream_options", "n", "column", "most", "id", "title",
        "fields", "codes", "role", "content", "exposure", "domain", "quota", "histories",
    ]
)  # fmt: skip
ROUTES = st.sampled_from(
    [
        ("POST", ASK), ("POST", "/v1/chat/completions"), ("POST", "/v1/events"),
        ("PUT", "/v1/items"), ("POST", "/v1/recommendations/mixed"),
    ]
)  # fmt: skip


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=ROUTES, body=st.dictionaries(FIELDS, JSON, max_size=6) | JSON, cut=st.integers(0, 9))
async def test_no_body_breaks_the_server(
    client: httpx.AsyncClient, route: tuple[str, str], body: Any, cut: int
) -> None:
    content = json.dumps(body).encode()
    content = content[: len(content) - cut] if cut > 6 else content
    headers = {"Content-Type": "application/json"}
    answer = await client.request(*route, content=content, headers=headers)
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert_shape(answer)

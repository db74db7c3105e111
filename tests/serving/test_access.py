"""Who is let in: keys, scopes, tenants, users, rates."""

import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from eval.benchmarks.hostile_keys import PATHS, Keys, attempts
from rec_gen.errors import ConfigError
from serving.keys import SCOPES, KeyFile, create_key, revoke_key
from serving.service import Service
from tests.serving.conftest import in_process

pytestmark = pytest.mark.anyio
ASK = "/v1/recommendations"


class Api(NamedTuple):
    service: Service
    client: httpx.AsyncClient
    keys: Path
    secret: str

    async def ask(self, secret: str, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {secret}"}
        return await self.client.post(ASK, json={"history": [], **body}, headers=headers)


@pytest.fixture(scope="module")
async def api(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("keys")
    keys = folder / "keys.json"
    secret = create_key(keys, "shop", SCOPES)
    limits = {"failures": "10000/minute"}
    async with in_process(bundle, folder / "store.db", keys=keys, limits=limits) as pair:
        yield Api(*pair, keys, secret)


async def test_a_key_that_holds_is_let_in(api: Api) -> None:
    assert (await api.ask(api.secret)).status_code == 200
    lower = {"Authorization": f"bearer {api.secret}"}
    assert (await api.client.get("/v1/models", headers=lower)).status_code == 200
    for path in ("/healthz", "/readyz", "/openapi.json", "/", "/page/page.js"):
        assert (await api.client.get(path)).status_code == 200


def made(api: Api) -> Keys:
    """The key that holds, and two that do not any more."""
    identity, key = next(iter(api.service.keys.keys().items()))  # type: ignore[union-attr]
    revoked = create_key(api.keys, "shop", ["recommend"])
    revoke_key(api.keys, revoked.split("_")[1])
    over = datetime.now(UTC) - timedelta(seconds=1)
    expired = create_key(api.keys, "shop", ["recommend"], expires=over)
    return Keys(api.secret, identity, key.sha256, revoked, expired)


async def test_nothing_else_is_let_in(api: Api) -> None:
    tried = attempts(made(api))
    assert len(tried) >= 20
    for attempt in tried:
        answer = await api.client.post(
            attempt.target, json={"history": []}, headers=list(attempt.headers)
        )
        assert answer.status_code == 401, attempt
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_leads_around_the_keys(api: Api, path: str) -> None:
    answer = await api.client.get(path)
    assert answer.status_code in (401, 404)
    assert "data" not in answer.json()


async def test_a_wrong_key_is_told_before_its_body_is_read(api: Api) -> None:
    answer = await api.client.post(ASK, content=b"[" * 100_000)
    assert answer.status_code == 401


async def test_a_key_does_what_its_scopes_say(api: Api) -> None:
    routes = {
        "recommend": ("POST", ASK, {"history": []}),
        "events": ("POST", "/v1/events", {"user": "u", "item": "i1"}),
        "catalog": ("PUT", "/v1/items", {"items": [{"id": "i1", "title": "Film 1"}]}),
        "metrics": ("GET", "/metrics", None),
        "admin": ("DELETE", "/v1/users/u", None),
    }
    for scope in SCOPES:
        headers = {"Authorization": f"Bearer {create_key(api.keys, 'shop', [scope])}"}
        for needed, (method, path, body) in routes.items():
            answer = await api.client.request(method, path, json=body, headers=headers)
            assert answer.status_code == (200 if needed == scope else 403), (scope, needed)


async def test_no_tenant_and_no_user_sees_another(api: Api) -> None:
    async def call(secret: str, method: str, path: str, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {secret}"}
        return await api.client.request(method, path, json=body or None, headers=headers)

    other = create_key(api.keys, "other", SCOPES)
    own = create_key(api.keys, "shop", SCOPES, user="ann")
    event = {"user": "bob", "item": "i1", "session": "s"}
    assert (await call(api.secret, "POST", "/v1/events", **event)).status_code == 200
    path = "/v1/users/bob/history"
    assert len((await call(api.secret, "GET", path)).json()["events"]) == 1
    assert (await call(other, "GET", path)).json()["events"] == []
    assert (await call(other, "DELETE", "/v1/users/bob")).json() == {"events": 0}
    assert (await call(own, "GET", path)).status_code == 403
    assert (await call(own, "DELETE", "/v1/users/bob")).status_code == 403
    assert (await call(own, "POST", "/v1/events", **event)).status_code == 403
    assert (await call(own, "POST", ASK, user="bob")).status_code == 403
    assert len((await call(api.secret, "POST", ASK, user="bob", k=99)).json()["items"]) == 11
    stolen = {"user": "ann", "session": "s", "k": 99}
    assert len((await call(own, "POST", ASK, **stolen)).json()["items"]) == 12
    assert (await call(own, "POST", ASK, k=3)).status_code == 200  # its own user's history
    assert len((await call(api.secret, "GET", path)).json()["events"]) == 1


async def test_keys_change_without_a_restart(api: Api) -> None:
    secret = create_key(api.keys, "shop", ["recommend"])
    assert (await api.ask(secret)).status_code == 200
    revoke_key(api.keys, secret.split("_")[1])
    assert (await api.ask(secret)).status_code == 401
    kept = api.keys.read_bytes()
    for broken in (b"{", b'{"keys": [{"id": "x"}]}'):
        api.keys.write_bytes(broken)
        answer = await api.ask(api.secret)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "keys_unavailable")
    api.keys.unlink()
    assert (await api.ask(api.secret)).status_code == 503
    api.keys.write_bytes(kept)
    assert (await api.ask(api.secret)).status_code == 200


async def test_a_key_and_an_address_may_not_ask_too_often(bundle: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    first, second = (create_key(keys, "shop", ["recommend"]) for _ in range(2))
    limits = {"rate": "3/hour", "failures": "2/hour"}
    async with in_process(bundle, tmp_path / "s.db", keys=keys, limits=limits) as (_, client):

        async def status(secret: str) -> int:
            headers = {"Authorization": f"Bearer {secret}"}
            answer = await client.get("/v1/models", headers=headers)
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
            return answer.status_code

        assert [await status(first) for _ in range(5)] == [200, 200, 200, 429, 429]
        assert [await status("guess") for _ in range(4)] == [401, 401, 429, 429]
        assert await status(second) == 200


def test_the_file_of_keys_holds_no_key_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    secret = create_key(path, "shop", ["recommend"])
    text = path.read_text()
    assert secret not in text
    assert secret.rpartition("_")[2] not in text
    assert os.stat(path).st_mode & 0o077 == 0  # noqa: PTH116
    found = KeyFile(path).find(secret)
    assert found is not None
    assert found.tenant == "shop"


def test_keys_that_are_changed_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    old = create_key(path, "shop", ["recommend"]).split("_")[1]
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(create_key, path, "shop", ["recommend"]) for _ in range(20)]
        revoked = pool.submit(revoke_key, path, old)
    revoked.result()
    assert set(KeyFile(path).keys()) == {one.result().split("_")[1] for one in made}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scopes": []}, "'scopes'"),
        ({"scopes": ["root"]}, "'scopes'"),
        ({"tenant": "a b"}, "'tenant'"),
        ({"tenant": ""}, "'tenant'"),
    ],
)
def test_a_wrong_key_is_not_made(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_key(tmp_path / "k.json", **{"tenant": "shop", "scopes": ["recommend"], **change})
    assert not (tmp_path / "k.json").exists()

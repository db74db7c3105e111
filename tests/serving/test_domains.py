"""Requests that name one of several catalogs, or ask for a list of several."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rec_gen.bundle import Bundle
from rec_gen.mixed import MixedRecommender
from rec_gen.recommender import Recommender
from serving.batch.config import BatchConfig
from serving.keys import create_key
from tests.browser import NEEDS_CHROMIUM, expect, launched
from tests.domains import named, several
from tests.rec_gen.command import error, run
from tests.serving.conftest import in_process
from tests.serving.page import add, opened, say, wait_for
from tests.serving.page import ids as page_ids
from tests.serving.server import Server, served
from tests.serving.test_batch import HISTORIES, answers, table
from tests.serving.test_mcp import agent
from training.sft import train

ASK, MIX = "/v1/recommendations", "/v1/recommendations/mixed"
QUOTA = {"films": 3, "read": 2, "new": 1}


@pytest.fixture(scope="module")
def mixing(several_catalogs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    store = tmp_path_factory.mktemp("store") / "store.db"
    with served(several_catalogs, "--store", f"sqlite:///{store}") as running:
        yield running


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def expected(bundle: Path, domain: str, history: list[str], **options: Any) -> list[str]:
    (found,) = Recommender.load(bundle, domain=domain).recommend([history], **options)
    return [one.item.id for one in found]


def placed(bundle: Path, history: dict[str, list[str]], **options: Any) -> list[tuple[str, str]]:
    (found,) = MixedRecommender.load(bundle).recommend([history], QUOTA, **options)
    return [(one.domain, one.recommendation.item.id) for one in found]


def test_a_request_names_a_catalog(mixing: Server, several_catalogs: Path) -> None:
    history = ["i3", "i5", "i1"]
    with mixing.client() as client:
        for domain in QUOTA:
            body = {"history": history, "k": 5, "domain": domain}
            found = client.post(ASK, json=body)
            assert ids(found) == expected(several_catalogs, domain, history, k=5)
            kinds = {item["title"].split()[0] for item in found.json()["items"]}
            assert kinds <= {{"read": "books", "new": "shop"}.get(domain, "films"), "films"}
            chat = {"model": "toy", "messages": [{"role": "user", "content": "hi"}], **body}
            said = client.post("/v1/chat/completions", json=chat).json()
            assert [item["id"] for item in said["items"]] == ids(found)
        first = ids(client.post(ASK, json={"history": history, "k": 5}))
        assert first == expected(several_catalogs, "films", history, k=5)
        kept = {"history": history, "domain": "read", "template": "next_item_direct"}
        assert client.post(ASK, json=kept).status_code == 200
        other = client.post(ASK, json={**kept, "domain": "new"})
        assert (other.status_code, other.json()["error"]["param"]) == (400, "template")
        unknown = client.post(ASK, json={**kept, "domain": "toys"})
        said = unknown.json()["error"]
        assert (unknown.status_code, said["param"], said["code"]) == (
            422, "domain", "unknown_domain",
        )  # fmt: skip
        assert "the model knows films, read, new" in said["message"]


def test_a_list_holds_the_quota_of_each_catalog(mixing: Server, several_catalogs: Path) -> None:
    users: list[dict[str, list[str]]] = [
        {"films": ["i3", "i4", "i5"]}, {"read": ["i1"], "films": ["i4"]}, {},
    ]  # fmt: skip
    with mixing.client() as client:
        for history in users:
            for exclude_seen in (True, False):
                body = {"quota": QUOTA, "histories": history, "exclude_seen": exclude_seen}
                answer = client.post(MIX, json=body)
                assert answer.status_code == 200, answer.text
                found = [(item["domain"], item["id"]) for item in answer.json()["items"]]
                assert found == placed(several_catalogs, history, exclude_seen=exclude_seen)
                assert answer.json()["usage"]["prompt_tokens"] > 0


def test_what_is_kept_of_a_user_is_read_by_catalog(mixing: Server, several_catalogs: Path) -> None:
    done = [("i3", None), ("i7", "read"), ("i4", "films"), ("i3", "read"), ("i9", "new")]
    with mixing.client() as client:
        for item, domain in done:
            event = {"user": "ann", "item": item, **({} if domain is None else {"domain": domain})}
            assert client.post("/v1/events", json=event).json() == {"kept": True}
        kept = client.get("/v1/users/ann/history").json()["events"]
        assert [(one["item"], one["domain"]) for one in kept] == [
            (item, domain or "films") for item, domain in done
        ]
        of_one = client.get("/v1/users/ann/history", params={"domain": "films"}).json()["events"]
        assert [one["item"] for one in of_one] == ["i3", "i4"]
        for domain in ("films", "toys"):
            refused = client.delete("/v1/users/ann", params={"domain": domain})
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "domain")
        histories = {"films": ["i3", "i4"], "read": ["i7", "i3"], "new": ["i9"]}
        for domain, history in histories.items():
            body = {"user": "ann", "k": 4, "domain": domain}
            assert ids(client.post(ASK, json=body)) == expected(
                several_catalogs, domain, history, k=4
            )
        answer = client.post(MIX, json={"quota": QUOTA, "user": "ann"}).json()
        found = [(item["domain"], item["id"]) for item in answer["items"]]
        assert found == placed(several_catalogs, histories)
        again = {"user": "ann", "item": "i3"}
        named = {"Idempotency-Key": "k"}
        assert client.post("/v1/events", json=again, headers=named).status_code == 200
        other = client.post("/v1/events", json={**again, "domain": "read"}, headers=named)
        assert other.status_code == 409


def test_the_catalogs_are_told_and_searched(mixing: Server) -> None:
    with mixing.client() as client:
        told = client.get("/v1/info").json()["domains"]
        assert [(one["name"], one["items"]) for one in told] == [
            ("films", 12), ("read", 12), ("new", 12),
        ]  # fmt: skip
        assert told[1]["template"] == "next_item_direct"
        found = client.get("/v1/items", params={"query": "BOOKS 1", "domain": "read"}).json()
        assert [item["id"] for item in found["items"]] == ["i1", "i10", "i11"]
        where = {"domain": "read", "where": 'title == "films 4"'}
        assert client.get("/v1/items", params=where).json()["total"] == 1
        assert client.get("/v1/items", params={"domain": "toys"}).status_code == 422


@NEEDS_CHROMIUM
def test_the_page_chooses_a_catalog(mixing: Server, several_catalogs: Path) -> None:
    with launched() as chromium, opened(chromium, mixing) as page:
        expect(page.locator("#catalog")).to_be_visible()
        add(page, "films 3", "films 5")
        wait_for(page, "#status", "after a history of 2 items")
        own = expected(several_catalogs, "films", ["i3", "i5"])
        assert page_ids(page, "#lists .card") == own
        page.select_option("#catalog", "read")
        wait_for(page, "#status", "for an empty history")
        assert page_ids(page, "#lists .card") == expected(several_catalogs, "read", [])
        assert page.locator("#template").input_value() == "next_item_direct"
        add(page, "books 3")
        wait_for(page, "#status", "after a history of 1 item")
        assert page_ids(page, "#lists .card") == expected(several_catalogs, "read", ["i3"])
        say(page, "anything")
        wait_for(page, "#chat", "books")
        page.select_option("#catalog", "films")
        wait_for(page, "#status", "for an empty history")


@pytest.mark.parametrize(
    ("body", "status", "param", "message"),
    [
        ({"quota": {"toys": 1}}, 422, "quota", "the model knows films, read, new"),
        ({"quota": {"films": 0}, "histories": {}}, 400, "quota.films", "greater than or equal"),
        ({"quota": {"films": 10**4000}, "histories": {}}, 400, "quota.films", "less than or equal"),
        ({"quota": {"films": 999}, "histories": {}}, 400, "quota", "ask for at most"),
        ({"quota": {"new": 13}, "histories": {}}, 422, "quota", "'new' has 12 left of the 13"),
        (
            {"quota": {"new": 1}, "histories": {"new": [f"i{n}" for n in range(12)]}}, 422, "quota",
            "'new' has 0 left of the 1 items that were promised: promise fewer",
        ),
        ({"quota": {"new": 1}}, 400, "histories", "give histories, or a user"),
        ({"quota": {}}, 400, "quota", "at least 1"),
        (
            {"quota": {"new": 1}, "histories": {"toys": []}}, 422, "histories",
            "the model knows films, read, new",
        ),
        (
            {"quota": {"new": 1}, "histories": {"read": ["i99"]}}, 422, "histories.read",
            "item 'i99' is not in the catalog",
        ),
        (
            {"quota": {"new": 1}, "histories": {}, "session": "s"}, 400, "session",
            "a session stands beside histories",
        ),
        ({"quota": {"new": 1}, "histories": {}, "k": 3}, 400, "k", "not permitted"),
    ],
)  # fmt: skip
def test_a_quota_that_cannot_be_kept_is_refused(
    mixing: Server, body: dict[str, Any], status: int, param: str | None, message: str
) -> None:
    with mixing.client() as client:
        answer = client.post(MIX, json=body)
    said = answer.json()["error"]
    assert (answer.status_code, said["param"]) == (status, param)
    assert message in said["message"]


@pytest.mark.anyio
async def test_a_model_of_one_catalog_has_nothing_to_mix(bundle: Path, tmp_path: Path) -> None:
    async with in_process(bundle, tmp_path / "a.db") as (service, client):
        (name,) = service.engine.domains
        body = {"history": ["i1"], "k": 3}
        assert ids(await client.post(ASK, json={**body, "domain": name})) == ids(
            await client.post(ASK, json=body)
        )
        answer = await client.post(MIX, json={"quota": {name: 1}, "histories": {}})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported")


@pytest.mark.anyio
async def test_only_the_first_catalog_changes(several_catalogs: Path, tmp_path: Path) -> None:
    async with in_process(several_catalogs, tmp_path / "a.db") as (service, client):
        item = {"items": [{"id": "i1", "title": "films 1", "fields": {}}]}
        for domain, status, code in (("read", 400, "unsupported"), ("toys", 422, "unknown_domain")):
            for refused in (
                await client.put("/v1/items", json=item, params={"domain": domain}),
                await client.delete("/v1/items/i8", params={"domain": domain}),
            ):
                assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
        assert service.engine.version == 0
        done = await client.delete("/v1/items/i8", params={"domain": "films"})
        assert (done.status_code, service.engine.version) == (200, 1)


@pytest.mark.anyio
async def test_titles_are_shared_as_they_are_now(tmp_path: Path) -> None:
    bundle = train(several(tmp_path / "data", "title", "lm"), named("films"), tmp_path / "run")
    async with in_process(bundle, tmp_path / "a.db") as (_, client):

        async def mixed(films: int, books: int, **histories: list[str]) -> list[str]:
            body = {"quota": {"films": films, "read": books}, "histories": histories}
            answer = await client.post(MIX, json=body)
            assert answer.status_code == 200, answer.text
            return [item["title"] for item in answer.json()["items"]]

        assert "films 3" not in await mixed(11, 9, read=["i0"])
        items = [
            {"id": "i3", "title": "films 33", "fields": {}},
            {"id": "n1", "title": "books 7", "fields": {}},
        ]
        assert (await client.put("/v1/items", json={"items": items})).status_code == 200
        assert "films 33" in await mixed(13, 9, read=["i0"])
        titles = await mixed(13, 9)
        assert titles.count("books 7") == 1
        assert "books 7" not in await mixed(12, 9, read=["i7"])


@pytest.mark.anyio
async def test_events_of_another_bundle_are_no_events_of_this_one(
    several_catalogs: Path, tmp_path: Path
) -> None:
    Bundle.load(several_catalogs).domain("read").save(tmp_path / "books")
    event = {"user": "ann", "item": "i1"}
    async with in_process(several_catalogs, tmp_path / "a.db") as (_, client):
        assert (await client.post("/v1/events", json=event)).json() == {"kept": True}
    async with in_process(tmp_path / "books", tmp_path / "a.db") as (_, client):
        found = ids(await client.post(ASK, json={"user": "ann", "k": 5}))
        assert found == expected(several_catalogs, "read", [], k=5)


@pytest.mark.anyio
async def test_keys_hold_for_mixed_lists(several_catalogs: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    asking = create_key(keys, "shop", ["recommend"])
    bound = create_key(keys, "shop", ["recommend", "events"], user="ann")
    body = {"quota": QUOTA, "user": "bob"}
    async with in_process(several_catalogs, tmp_path / "a.db", keys=keys) as (_, client):
        statuses = [
            (await client.post(MIX, json=body, headers=headers)).status_code
            for headers in (
                {}, {"Authorization": f"Bearer {asking}"}, {"Authorization": f"Bearer {bound}"},
            )
        ]  # fmt: skip
        assert statuses == [401, 200, 403]
        own = await client.post(
            MIX, json={"quota": QUOTA}, headers={"Authorization": f"Bearer {bound}"}
        )
        assert own.status_code == 200


@pytest.mark.anyio
async def test_the_first_catalog_changes_and_is_mixed_as_it_is(
    several_catalogs: Path, tmp_path: Path
) -> None:
    async with in_process(several_catalogs, tmp_path / "a.db") as (_, client):
        before = (await client.post(MIX, json={"quota": QUOTA, "histories": {}})).json()["items"]
        (gone, *_) = (item["id"] for item in before if item["domain"] == "films")
        assert (await client.delete(f"/v1/items/{gone}")).status_code == 200
        after = (await client.post(MIX, json={"quota": QUOTA, "histories": {}})).json()["items"]
        assert gone not in [item["id"] for item in after if item["domain"] == "films"]
        body = {"history": ["i1"], "domain": "read", "k": 12}
        assert gone in ids(await client.post(ASK, json=body | {"exclude_seen": False}))


def test_a_batch_asks_one_catalog(several_catalogs: Path, tmp_path: Path) -> None:
    users, output = table(tmp_path / "users.parquet"), tmp_path / "out"
    done = run("batch", several_catalogs, users, output, "--domain", "read", "-k", 3)
    assert done.exit_code == 0, done.output
    found = answers(output)
    lists = [part["item"].to_list() for part in found.partition_by("user", maintain_order=True)]
    recommender = Recommender.load(several_catalogs, domain="read")
    assert lists == [[one.item.id for one in a] for a in recommender.recommend(HISTORIES, 3)]
    own = recommender.bundle.manifest.files["catalog.parquet"]
    assert own != Recommender.load(several_catalogs).bundle.manifest.files["catalog.parquet"]
    assert own.startswith(found["catalog_version"][0])
    code, line = error("batch", several_catalogs, users, output, "-k", 3)
    assert (code, "options.domain was read, is None" in line) == (2, True)
    code, line = error("batch", several_catalogs, users, tmp_path / "b", "--domain", "toys")
    assert (code, "domain 'toys': the bundle knows films, read, new" in line) == (1, True)
    assert "domain" not in BatchConfig(bundle=users, users=users, output=output).answer_options


@pytest.mark.anyio
async def test_an_agent_is_given_one_catalog(several_catalogs: Path) -> None:
    async with agent(several_catalogs, "--domain", "read") as client:
        told = await client.call_tool("recommend", {"history": ["i1"], "k": 3})
    assert told.structured_content is not None
    found = [item["id"] for item in told.structured_content["items"]]
    assert found == expected(several_catalogs, "read", ["i1"], k=3)

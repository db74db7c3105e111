"""The page of a running server as a visitor has it: in Chromium, by keyboard and by eye."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.keys import create_key
from tests.browser import CONTRAST, NEEDS_CHROMIUM, expect, launched
from tests.serving.page import add, ids, opened, recommended, say, tab_to, wait_for
from tests.serving.server import Server, served

pytestmark = NEEDS_CHROMIUM
HOSTILE = '<img src=x onerror="document.title = 1"> ruby'
TEXTS = "h1, h2, h3, p, li, label, summary, button:enabled, input:enabled, select, .tag, .mark"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def shop(server: Server) -> Server:
    """A server without keys whose catalog has a hostile title."""
    item = {"id": "h", "title": HOSTILE, "fields": {"brand": "Brand A"}}
    with server.client() as client:
        client.put("/v1/items", json={"items": [item]}).raise_for_status()
    return server


@pytest.fixture(scope="module")
def keyed(tasks_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server that asks for keys, whose model has learnt every task; and a key."""
    folder = tmp_path_factory.mktemp("keyed")
    key = create_key(folder / "keys.json", "shop", ["recommend"])
    arguments = ("--keys", folder / "keys.json", "--store", f"sqlite:///{folder / 'store.db'}")
    with served(tasks_bundle, *arguments) as running:
        yield running, key


def test_its_files_need_no_key_and_may_load_nothing_from_elsewhere(keyed: Any) -> None:
    with keyed[0].client() as client:
        page = client.get("/")
        names = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert set(names) == {"page/page.js", "page/page.css", "page/icon.svg"}
        answers = [page, *(client.get(f"/{name}") for name in names)]
        assert client.get("/page/nope.js").status_code == 401
        assert client.get("/page/%2e%2e/app.py").status_code == 401
        assert client.post("/").status_code == 405
    kinds = {answer.headers["content-type"].partition(";")[0] for answer in answers}
    assert kinds == {"text/html", "text/css", "text/javascript", "image/svg+xml"}
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'"):
            assert part in policy
        assert "img-src 'self';" in policy
        assert "unsafe" not in policy


def test_a_history_is_built_by_the_keyboard_alone(browser: Any, shop: Server) -> None:
    with opened(browser, shop) as page:
        tab_to(page, "#search")
        for words, arrows, title in (("AMBER", 0, "Film 0 amber"), ("film", 2, "Film 2 cedar")):
            page.keyboard.type(words)
            page.wait_for_selector("#found [aria-selected=true]")
            for _ in range(arrows):
                page.keyboard.press("ArrowDown")
            assert title in page.inner_text("#found [aria-selected=true]")
            chosen = page.get_attribute("#found [aria-selected=true]", "id")
            assert page.get_attribute("#search", "aria-activedescendant") == chosen
            page.keyboard.press("Enter")
            assert page.get_attribute("#search", "aria-expanded") == "false"
        assert ids(page, "#history li") == ["i0", "i2"]
        tab_to(page, "[data-action=earlier]")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.keyboard.press("Enter")
        assert ids(page, "#history li") == ["i2", "i0"]
        assert page.evaluate("document.activeElement.closest('li').dataset.id") == "i2"
        tab_to(page, "[data-action=remove]")
        page.keyboard.press("Space")
        assert ids(page, "#history li") == ["i0"]
        page.keyboard.press("Enter")
        assert ids(page, "#history li") == []
        assert page.evaluate("document.activeElement.id") == "search"
        page.keyboard.type("zzz")
        wait_for(page, "#search-status", "Nothing is called “zzz”.")
        page.keyboard.press("Escape")
        assert page.is_hidden("#found")


def test_enter_takes_what_was_typed_and_not_what_was_found_before(
    browser: Any, shop: Server
) -> None:
    with opened(browser, shop) as page:
        page.focus("#search")
        page.keyboard.type("film")
        page.wait_for_selector("#found li")
        page.keyboard.type(" 7")
        page.keyboard.press("Enter")
        page.wait_for_selector("#history li")
        assert ids(page, "#history li") == ["i7"]


def test_recommendations_follow_the_history_and_the_options(browser: Any, shop: Server) -> None:
    with opened(browser, shop) as page:
        wait_for(page, "#status", "10 items for an empty history.")
        lists = [ids(page, "#lists .card")]
        assert lists[0] == [item["id"] for item in recommended(shop, history=[])]
        for length, query in enumerate(("amber", "birch"), 1):
            add(page, query)
            items = recommended(shop, history=["i0", "i1"][:length])
            lists.append(ids(page, "#lists .card"))
            assert lists[-1] == [item["id"] for item in items]
            scores = [f"{item['score']:.2f}".replace("-", "\u2212") for item in items]
            shown = page.eval_on_selector_all(
                ".score", "all => all.map(one => one.childNodes[1].data)"
            )
            assert shown == scores
            assert "Brand" in page.inner_text("#lists .tag >> nth=0")
        assert len({tuple(found) for found in lists}) == 3
        assert re.search(r"search \d+\.\d ms", page.inner_text("#timing"))
        bars = page.eval_on_selector_all(
            ".bar", "all => all.map(one => parseFloat(getComputedStyle(one, '::after').width))"
        )
        assert bars == sorted(bars, reverse=True)

        page.fill("#k", "3")
        page.fill("#temperature", "2.5")
        wait_for(page, "#status", "3 items")
        page.fill("#seed", "7")
        drawn = recommended(shop, history=["i0", "i1"], k=3, temperature=2.5, seed=7)
        titles = page.locator("#lists .title")
        expect(titles).to_have_text([item["title"] for item in drawn])
        page.fill("#k", "0")
        wait_for(page, "#failure", "Items: ")
        assert ids(page, "#lists .card") == []


def test_it_tells_what_a_filter_does(browser: Any, shop: Server) -> None:
    with opened(browser, shop, refused=1) as page:
        add(page, "birch")
        without = ids(page, "#lists .card")
        page.fill("#filter", 'brand == "Brand A"')
        wait_for(page, "#effect", "The filter leaves 5 of 13 items (38 %)")
        passed = {"i0", "i3", "i6", "i9", "h"}
        assert set(ids(page, ".with .card")) == passed
        assert ids(page, ".without .card") == without
        dropped = ids(page, ".without .marked")
        assert dropped == [item for item in without if item not in passed]
        assert f"{len(dropped)} of 10 dropped out" in page.inner_text("#effect")
        assert page.inner_text(".without .mark >> nth=0") == "dropped out"
        assert set(ids(page, ".with .marked")) == passed - set(without)

        page.fill("#filter", "price < 3")
        wait_for(page, "#filter-error", "there is no column 'price'; columns are item, title")
        assert page.get_attribute("#filter", "aria-invalid") == "true"
        assert ids(page, "#lists .card") == []

        page.fill("#filter", 'brand == "none"')
        wait_for(page, "#effect", "leaves 0 of 13 items")
        assert page.inner_text("#filter-error") == ""
        assert page.inner_text(".with p") == "Nothing passes."
        assert ids(page, ".without .marked") == without

        page.click("#filter-examples button >> nth=0")
        wait_for(page, "#effect", "leaves 5 of 13 items")
        page.fill("#filter", "")
        page.wait_for_selector("#effect", state="hidden")
        assert ids(page, "#lists .card") == without


def test_an_example_and_the_choices(browser: Any, shop: Server) -> None:
    with opened(browser, shop) as page:
        page.click("#example")
        wait_for(page, "#status", "history of 4 items")
        assert ids(page, "#history li") == ["i0", "i3", "i6", "i9"]
        page.click("#lists .card button >> nth=0")
        assert len(ids(page, "#history li")) == 5
        page.click("#clear")
        wait_for(page, "#status", "for an empty history")
        for name, only in (("model", "toy"), ("template", "sequence")):
            options = page.eval_on_selector_all(
                f"#{name} option", "all => all.map(one => one.value)"
            )
            assert options == [only]
        assert "toy · 13 items · learnt next_item" in page.inner_text("#about")
        assert page.is_hidden("#reasons-label")
        assert page.is_hidden("#key-form")


def test_a_hostile_title_stays_text(browser: Any, shop: Server) -> None:
    with opened(browser, shop) as page:
        page.fill("#k", "13")
        wait_for(page, "#status", "13 items")
        say(page, HOSTILE)
        wait_for(page, "#chat .cards", HOSTILE)
        assert HOSTILE in page.inner_text("#chat .user")
        page.fill("#search", "RUBY")
        wait_for(page, "#found", HOSTILE)
        page.press("#search", "Enter")
        assert page.inner_text("#history .title") == HOSTILE
        assert page.title() == "rec_gen"
        assert page.query_selector("img") is None


def test_the_chat_streams_items_that_can_be_added(browser: Any, keyed: Any) -> None:
    server, key = keyed
    with opened(browser, server, key=key) as page:
        add(page, "iris")
        page.fill("#filter", 'brand == "Brand A"')
        with page.expect_response("**/v1/chat/completions") as caught:
            say(page, "cedar film")
        asked = json.loads(caught.value.request.post_data)
        assert caught.value.headers["content-type"].startswith("text/event-stream")
        page.wait_for_selector("#chat-form button:enabled")
        with server.client(key) as client:
            whole = client.post("/v1/chat/completions", json={**asked, "stream": False}).json()
        order = [item["id"] for item in whole["items"]]
        assert set(order) == {"i0", "i3", "i6", "i9"}
        assert ids(page, "#chat .card") == order
        assert "toy" in page.inner_text("#chat .assistant .who")
        page.click("#chat .card button >> nth=1")
        assert ids(page, "#history li") == ["i8", order[1]]
        say(page, "and a grove")
        page.wait_for_selector("#chat .turn:nth-child(4) .card")


def test_a_chat_that_is_refused_says_why(browser: Any, keyed: Any) -> None:
    server, key = keyed
    with opened(browser, server, key=key, refused=2) as page:
        page.fill("#filter", "nope")
        wait_for(page, "#filter-error", "there is no column 'nope'")
        say(page, "amber")
        wait_for(page, "#chat .error", "there is no column 'nope'")
        page.fill("#filter", "")
        say(page, "cedar")
        page.wait_for_selector("#chat .card")


def test_reasons_come_after_the_items(browser: Any, keyed: Any) -> None:
    server, key = keyed
    asked: list[dict[str, Any]] = []
    with opened(browser, server, key=key) as page:
        add(page, "amber")
        wait_for(page, "#status", "with a reason.")
        page.on("request", lambda request: asked.append(json.loads(request.post_data or "{}")))
        add(page, "dawn")
        wait_for(page, "#status", "with a reason.")
        items = recommended(server, key, history=["i0", "i3"], explain=True)
        reasons = [item["explanation"] for item in items]
        assert any(reasons)
        shown = page.eval_on_selector_all(".reason", "all => all.map(one => one.textContent)")
        assert "explain" not in next(body for body in asked if "history" in body)
        explained = [body["allow"] for body in asked if body.get("explain")]
        assert explained == [[item["id"]] for item in items]
        nothing = "It shares nothing rare with the history."
        assert shown == [reason or nothing for reason in reasons]
        page.uncheck("#reasons")
        expect(page.locator("#status")).not_to_contain_text("reason")
        assert page.is_hidden(".reason >> nth=0")


def test_a_key_is_asked_for_and_kept_in_the_tab_alone(browser: Any, keyed: Any) -> None:
    server, key = keyed
    with opened(browser, server, refused=2) as page:
        page.wait_for_selector("#key-form:not([hidden])")
        assert page.is_hidden("#main")
        assert page.inner_text("#key-error") == ""
        assert page.evaluate("document.activeElement.id") == "key"
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        wait_for(page, "#key-error", "give an API key that holds")
        page.keyboard.type(key)
        page.keyboard.press("Enter")
        wait_for(page, "#status", "for an empty history")
        assert page.is_hidden("#key-form")
        kept = "[Object.values(sessionStorage), localStorage.length, document.cookie]"
        assert page.evaluate(kept) == [[key], 0, ""]
        page.reload()
        wait_for(page, "#status", "for an empty history")
        assert page.url == f"{server.url}/"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_both_be_read(browser: Any, shop: Server, scheme: str) -> None:
    with opened(browser, shop, color_scheme=scheme, reduced_motion="reduce") as page:
        add(page, "birch")
        page.fill("#filter", 'brand == "Brand A"')
        wait_for(page, "#effect", "The filter leaves")
        say(page, "hello")
        page.wait_for_selector("#chat-form button:enabled")
        page.fill("#search", "film")
        page.wait_for_selector("#found li")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        contrasts = page.evaluate(CONTRAST, TEXTS)
        assert len(contrasts) > 100
        assert min(contrasts) > 4.5
    level = int(re.findall(r"\d+", background)[0])
    assert level > 200 if scheme == "light" else level < 60


@pytest.mark.parametrize("width", [320, 375, 1280])
def test_the_page_is_never_wider_than_the_screen(browser: Any, shop: Server, width: int) -> None:
    with opened(browser, shop, viewport={"width": width, "height": 800}) as page:
        add(page, "ruby", "birch")
        assert page.is_visible("#filter") == (width > 1000)
        if width < 1000:
            page.click("summary")
        page.fill("#filter", 'brand == "Brand A"')
        wait_for(page, "#effect", "The filter leaves")
        say(page, "long" * 100)
        page.wait_for_selector("#chat .card")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        lefts = page.eval_on_selector_all(
            "#lists section", "all => all.map(one => one.getBoundingClientRect().left)"
        )
        assert (lefts[0] < lefts[1]) == (width > 1000)
        unlabelled = page.eval_on_selector_all(
            "input, select", "all => all.filter(one => !one.labels.length).length"
        )
        assert unlabelled == 0

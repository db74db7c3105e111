"""The page of a running server, opened and used in a browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.browser import expect
from tests.serving.server import Server


@contextmanager
def opened(
    browser: Any,
    server: Server,
    *,
    key: str | None = None,
    refused: int = 0,
    beside: str | None = None,
    **options: Any,
) -> Iterator[Any]:
    """The page; while it is open nothing goes wrong but so many refusals, and no one else is asked.

    But for the images of one other server, where the catalog names them.

    Chromium writes a line to the console for each answer that is an error.
    """
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server.url)
    page.wait_for_selector("#main:not([hidden]), #key-form:not([hidden])")
    if key is not None:
        page.fill("#key", key)
        page.keyboard.press("Enter")
        page.wait_for_selector("#main:not([hidden])")
    yield page
    refusals = [line for line in wrong if line.startswith("Failed to load resource")]
    assert wrong == refusals
    assert len(refusals) == refused + (key is not None)
    hosts = tuple(f"{host}/" for host in (server.url, beside) if host)
    assert all(url.startswith(hosts) for url in asked)
    context.close()


def wait_for(page: Any, selector: str, text: str) -> None:
    """Wait until an element says a text."""
    expect(page.locator(selector)).to_contain_text(text)


def ids(page: Any, selector: str) -> list[str]:
    found: list[str] = page.eval_on_selector_all(selector, "all => all.map(one => one.dataset.id)")
    return found


def tab_to(page: Any, selector: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(100):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached by Tab")


def add(page: Any, *queries: str) -> None:
    """Add the first item found for each query, and wait until the recommendations follow."""
    for query in queries:
        page.fill("#search", query)
        page.focus("#search")
        page.keyboard.press("Enter")
        expect(page.locator("#search")).to_have_value("")
    length = len(ids(page, "#history li"))
    wait_for(page, "#status", f"history of {length} item")


def say(page: Any, words: str) -> None:
    """Send a message to the chat."""
    page.fill("#message", words)
    page.press("#message", "Enter")


def recommended(server: Server, key: str | None = None, **body: Any) -> list[dict[str, Any]]:
    """What the API answers to the same request."""
    with server.client(key) as client:
        answer = client.post("/v1/recommendations", json={"k": 10, **body})
    items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return items

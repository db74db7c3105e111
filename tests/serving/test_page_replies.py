"""The page's chat where the model has learnt to reply."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser import CONTRAST, NEEDS_CHROMIUM, launched
from tests.serving.page import ids, opened, say
from tests.serving.server import served

pytestmark = [NEEDS_CHROMIUM, pytest.mark.slow]


def asked(page: Any, words: str) -> dict[str, Any]:
    """Say something and wait for the reply; what was sent."""
    with page.expect_response("**/v1/chat/completions") as caught:
        say(page, words)
    page.wait_for_selector("#chat-form button:enabled")
    sent: dict[str, Any] = json.loads(caught.value.request.post_data)
    return sent


def test_the_chat_shows_a_reply_and_remembers_what_it_named(
    replying_bundle: Path, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    with (
        served(replying_bundle, "--store", store) as server,
        launched() as browser,
        opened(browser, server) as page,
    ):
        assert "answers in words" in page.inner_text("#chat-hint")
        said: list[Any] = []
        for words in ("Something of Brand B?", "Not the first one"):
            said = asked(page, words)["messages"]
        first, replied, _ = said
        assert first == {"role": "user", "content": "Something of Brand B?"}
        named = ids(page, "#chat .turn:nth-child(2) .card")
        assert replied["items"] == named
        shown = page.inner_text("#chat .turn:nth-child(2) > p:last-of-type")
        assert shown.split() == replied["content"].split()
        assert named
        assert named[0] not in ids(page, "#chat .turn:nth-child(4) .card")


def chips(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all(".chip", "all => all.map(one => one.dataset.said)")
    return found


def test_what_was_understood_is_shown_and_can_be_taken_back(
    replying_bundle: Path, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    hostile = "<img src=x onerror=alert(1)> no Brand B"
    with (
        served(replying_bundle, "--store", store) as server,
        launched() as browser,
        opened(browser, server) as page,
    ):
        assert "ignore" not in asked(page, f"Under 110 minutes. {hostile}")
        assert chips(page) == ["Under 110 minutes", hostile]
        assert page.get_attribute(".chip", "title") == "minutes < 110"
        assert page.locator("#chat img").count() == 0
        assert min(page.evaluate(CONTRAST, ".chip")) >= 4.5
        page.focus(".chip")
        page.keyboard.press("Enter")
        assert chips(page) == [hostile]
        assert page.evaluate("document.activeElement.id") == "message"
        assert asked(page, "And now?")["ignore"] == ["Under 110 minutes"]
        assert chips(page) == [hostile]
        assert "ignore" not in asked(page, "Under 110 minutes, please")
        assert "Under 110 minutes" in chips(page)
        assert "ignore" not in asked(page, "More")

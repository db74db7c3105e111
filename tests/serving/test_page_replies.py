"""The page's chat where the model has learnt to reply."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser import NEEDS_CHROMIUM, launched
from tests.serving.server import served
from tests.serving.test_page import ids, opened, say

pytestmark = [NEEDS_CHROMIUM, pytest.mark.slow]


def test_the_chat_shows_a_reply_and_remembers_what_it_named(
    replying_bundle: Path, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    with (
        served(replying_bundle, "--store", store) as server,
        launched() as browser,
        opened(browser, server) as page,
    ):
        said: list[Any] = []
        for words in ("Something of Brand B?", "Not the first one"):
            with page.expect_response("**/v1/chat/completions") as caught:
                say(page, words)
            page.wait_for_selector("#chat-form button:enabled")
            said = json.loads(caught.value.request.post_data)["messages"]
        first, replied, _ = said
        assert first == {"role": "user", "content": "Something of Brand B?"}
        named = ids(page, "#chat .turn:nth-child(2) .card")
        assert replied["items"] == named
        shown = page.inner_text("#chat .turn:nth-child(2) > p:last-child")
        assert shown.split() == replied["content"].split()
        assert named
        assert named[0] not in ids(page, "#chat .turn:nth-child(4) .card")

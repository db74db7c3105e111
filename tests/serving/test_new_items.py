"""A new item of a semantic model comes to a server without its codes."""

from pathlib import Path

import pytest

from tests.rec_gen.test_item_encoder import bundle_of
from tests.serving.conftest import in_process

pytestmark = pytest.mark.anyio


async def test_a_new_item_needs_no_codes_and_is_there_after_a_restart(tmp_path: Path) -> None:
    bundle_of().save(tmp_path / "bundle")
    item = {"id": "n", "title": "New", "fields": {"look": [0.1, 0.2, 0.3, 0.4, 0.5]}}
    asked = {"history": [], "k": 1, "allow": ["n"]}
    for new in (True, False):
        async with in_process(tmp_path / "bundle", tmp_path / "store.db") as (_, client):
            if new:
                done = await client.put("/v1/items", json={"items": [item]})
                assert done.status_code == 200, done.text
                bare = {"id": "m", "title": "Nothing known"}
                refused = await client.put("/v1/items", json={"items": [bare]})
                assert refused.status_code == 422
                assert "nothing is known of it" in refused.text
            answer = await client.post("/v1/recommendations", json=asked)
            assert [each["id"] for each in answer.json()["items"]] == ["n"], answer.text

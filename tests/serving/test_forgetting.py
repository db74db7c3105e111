"""A forgotten user is in no byte of a store, and in no answer of a job."""

import json
from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock

from rec_gen.errors import ConfigError
from rec_gen.testing import random_bundle
from serving.batch.config import BatchConfig
from serving.batch.forgetting import forget_user as forget_in_batch
from serving.batch.job import LOCK
from serving.batch.run import run
from serving.errors import StoreError
from serving.forgetting import forget_user
from serving.store import Event, Store, open_store
from tests.serving.stores import redis
from tests.serving.test_batch import table
from tests.toy import toy_dataset

USER = "ann-0815"


def found_in(folder: Path, text: str = USER) -> list[str]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [file.name for file in files if text.encode() in file.read_bytes()]


async def fill(store: Store) -> None:
    for number in range(40):
        for user in (USER, "bob"):
            event = Event(
                "shop", user, f"i{number}", "view", number, f"{user}-s", f"{user}{number}"
            )
            assert await store.add_event(event)


@pytest.mark.anyio
async def test_no_byte_of_sqlite_tells_of_the_user(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    server = await open_store(url)  # as a server that runs meanwhile
    await fill(server)
    assert found_in(tmp_path)
    assert await forget_user(url, "shop", USER, dry_run=True) == 40
    assert await forget_user(url, "other", USER) == 0
    assert len(await server.history("shop", USER, 99)) == 40
    assert await forget_user(url, "shop", USER) == 40
    assert found_in(tmp_path) == []
    assert await forget_user(url, "shop", USER) == 0
    assert len(await server.history("shop", "bob", 99)) == 40
    assert await server.add_event(Event("shop", "bob", "i1", "view", 1))
    await server.close()
    assert "store.db" in found_in(tmp_path, "bob")


@pytest.mark.anyio
async def test_no_byte_of_redis_tells_of_the_user(tmp_path: Path) -> None:
    with redis(tmp_path) as (url, _):
        server = await open_store(url)
        await fill(server)
        assert found_in(tmp_path)
        assert await forget_user(url, "shop", USER) == 40
        assert len(await server.history("shop", "bob", 99)) == 40
        assert found_in(tmp_path) == []
        await server.close()


@pytest.mark.anyio
async def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no such file; name the store"):
        await forget_user(f"sqlite:///{tmp_path}/typo.db", "shop", USER)
    assert not list(tmp_path.iterdir())


def test_answers_of_a_job_are_written_without_the_user(tmp_path: Path) -> None:
    bundle, output = tmp_path / "bundle", tmp_path / "out"
    random_bundle(toy_dataset().catalog, "title").save(bundle)
    names = ["u0", USER, "u2", "u3", "u4"]
    histories = [["i1"], ["i2"], ["i3"], ["unknown"], ["i4"]]
    users = table(tmp_path / "users.parquet", user=names, history=histories)
    config = BatchConfig(bundle=bundle, users=users, output=output, k=2, part_rows=2)
    run(config)
    kept = (output / "part-000001.parquet").read_bytes()
    assert forget_in_batch(output, {USER}, dry_run=True).rows == 2
    assert found_in(output)
    assert forget_in_batch(output, {USER}).rows == 2
    assert forget_in_batch(output, {"u3"}).rows == 1
    assert forget_in_batch(output, {USER}).rows == 0
    assert found_in(output) == []
    assert (output / "part-000001.parquet").read_bytes() == kept
    found = pl.read_parquet(sorted(output.glob("part-*.parquet")))
    assert found["user"].unique(maintain_order=True).to_list() == ["u0", "u2", "u4"]
    assert run(config).users == 0  # its parts are done
    (output / "part-000002.parquet").unlink()
    assert forget_in_batch(output, {USER}).unfinished == 1
    with FileLock(output / LOCK), pytest.raises(ConfigError, match="a process works on it"):
        forget_in_batch(output, {"u0"})


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no job of recgen batch"):
        forget_in_batch(tmp_path, {USER})
    (tmp_path / "batch.json").write_text(json.dumps({"users": []}))
    with pytest.raises(ConfigError, match="is damaged"):
        forget_in_batch(tmp_path, {USER})

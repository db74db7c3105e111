"""Exposure control over HTTP and in batches."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rec_gen.prior import Prior
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle
from serving.batch.config import BatchConfig
from tests.rec_gen.command import error, run
from tests.serving.conftest import in_process
from tests.serving.test_batch import HISTORIES, answers, table
from tests.toy import ITEMS, toy_dataset

ASK = "/v1/recommendations"


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counted") / "bundle"
    dataset = toy_dataset(users=7)
    bundle = random_bundle(dataset.catalog, "item")
    replace(bundle, prior=Prior.fit(dataset, 0.1)).save(folder)
    return folder


def expected(bundle: Path, exposure: float) -> list[list[str]]:
    found = Recommender.load(bundle).recommend(HISTORIES, ITEMS, exposure=exposure)
    return [[one.item.id for one in answer] for answer in found]


@pytest.mark.anyio
async def test_the_server_raises_rarer_items(counted: Path, bundle: Path, tmp_path: Path) -> None:
    async with in_process(counted, tmp_path / "a.db") as (_, client):
        for exposure, lists in ((0, expected(counted, 0)), (9.0, expected(counted, 9))):
            body = {"history": HISTORIES[0], "k": ITEMS, "exposure": exposure}
            answer = (await client.post(ASK, json=body)).json()
            assert [item["id"] for item in answer["items"]] == lists[0]
        answer = await client.post(ASK, json={"history": [], "exposure": -1})
        said = answer.json()["error"]
        assert (answer.status_code, said["param"]) == (400, "exposure")
    async with in_process(bundle, tmp_path / "b.db") as (_, client):
        answer = await client.post(ASK, json={"history": [], "exposure": 1})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported")


def test_a_batch_raises_rarer_items(counted: Path, bundle: Path, tmp_path: Path) -> None:
    users = table(tmp_path / "users.parquet")
    output = tmp_path / "out"
    done = run("batch", counted, users, output, "-k", ITEMS, "--set", "exposure=9.0")
    assert done.exit_code == 0, done.output
    lists = [found["item"].to_list() for found in answers(output).partition_by("user")]
    assert lists == expected(counted, 9)
    assert json.loads((output / "batch.json").read_text())["options"]["exposure"] == 9
    code, line = error("batch", bundle, users, tmp_path / "b", "--set", "exposure=9.0")
    assert (code, "holds no counts of its items" in line) == (1, True)


def test_a_job_that_began_without_the_option_goes_on(tmp_path: Path) -> None:
    config = BatchConfig(bundle=tmp_path, users=tmp_path, output=tmp_path)
    assert "exposure" not in config.answer_options
    assert config.model_copy(update={"exposure": 1.0}).answer_options["exposure"] == 1

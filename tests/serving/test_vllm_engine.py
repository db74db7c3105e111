"""The engine on vLLM answers as the one on transformers does; vLLM runs in its own processes."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from rec_gen.bundle import Bundle
from rec_gen.recommender import Recommender
from serving.engine import RecommenderEngine
from tests.serving.server import Server, engine_of, served, until
from tests.serving.vllm_engine_run import ADAPTER, NEW, QUERIES, told
from tests.toy import EVERY_TASK, SCRATCH, rated, toy_dataset, toy_recipe
from tests.vllm_settings import VLLM
from training.sft import train

ROOT = Path(__file__).parent.parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
]


def trained(folder: Path, seed: int) -> Path:
    recipe = toy_recipe(
        seed=seed,
        spelling={"scheme": "title"},
        tasks=[task for task in EVERY_TASK if task["template"] in {"search", "explanation"}],
        prompt={"max_tokens": 600},
        model={"scratch": {**SCRATCH, "head_dim": 32}},
    )
    return train(recipe, rated(toy_dataset()), folder)


def adapted(bundle: Bundle, folder: Path) -> Bundle:
    """The same bundle under an adapter that says something."""
    torch.manual_seed(0)
    lora = LoraConfig(r=8, target_modules=["q_proj", "v_proj", "up_proj"], init_lora_weights=False)
    model = get_peft_model(bundle.model, lora)
    model.save_pretrained(folder)
    return replace(bundle, model=model.eval())


async def expected(bundles: dict[str | None, Bundle]) -> dict[str, Any]:
    """What transformers answers, before the catalog is changed and after."""
    engines = {name: RecommenderEngine(Recommender(one)) for name, one in bundles.items()}
    said: dict[str, Any] = {}
    for moment in ("answers", "changed"):
        answers = [await engines[query.adapter].answer([query]) for query in QUERIES[:-1]]
        said[moment] = told([answer for (answer,) in answers])
        if moment == "answers":
            said["reasons"] = await engines[None].explain(["i1", "i2"], ["i4", "i7"])
        for engine in engines.values():
            await engine.update([NEW], ["i3"], {})
    return said


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = tmp_path_factory.mktemp("engine")
    path, other = trained(folder / "run", 0), trained(folder / "other", 1)
    under = adapted(Bundle.load(path), folder / "adapter")
    mine = asyncio.run(expected({None: Bundle.load(path), ADAPTER: under}))
    command = [sys.executable, "-m", "tests.serving.vllm_engine_run"]
    paths = [path, folder / "adapter", other]
    done = subprocess.run([*command, *map(str, paths)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return mine, json.loads(done.stdout.splitlines()[-1])


def same(mine: list[Any], theirs: list[Any]) -> None:
    for one, other in zip(mine, theirs, strict=True):
        if isinstance(one, list):
            assert one == other
        else:
            assert one["items"] == other["items"]
            assert one["rest"] == other["rest"]
            assert one["scores"] == pytest.approx(other["scores"], abs=1e-4)


Both = tuple[dict[str, Any], dict[str, Any]]


def test_models_and_adapters_answer_as_on_transformers(both: Both) -> None:
    mine, theirs = both
    assert theirs["models"] == ["toy", ADAPTER]
    same(mine["answers"], theirs["answers"][:-1])
    kinds = [one[0] for one in mine["answers"] if isinstance(one, list)]
    assert kinds == ["NoEligibleItemError", "RuleError", "DataError"]
    assert mine["answers"][1]["scores"] != theirs["answers"][0]["scores"][:4]
    assert theirs["answers"][-1][1] == "model 'winter' is not served; the models are: toy, spring"


def test_reasons_are_those_of_transformers(both: Both) -> None:
    mine, theirs = both
    assert mine["reasons"] == theirs["reasons"]
    assert any(theirs["reasons"])


def test_a_change_reaches_every_model(both: Both) -> None:
    mine, theirs = both
    assert (theirs["version"], theirs["kept"]) == (1, [0])
    same(mine["changed"][:4], theirs["changed"])
    offered = {item for one in theirs["changed"][:2] for item in one["items"]}
    assert "i3" not in offered
    assert "'nothing' is not in the catalog" in theirs["refused"]


def test_refuses_to_serve_another_model_than_the_bundles(both: Both) -> None:
    assert "vLLM holds other weights" in both[1]["other"]


def comes_back(server: Server, body: dict[str, Any]) -> None:
    """vLLM's engine is killed: that is told until there is another one, which knows the catalog."""
    client = server.client()
    new = {"items": [{"id": "new", "title": "Film 12 moss"}]}
    client.put("/v1/items", json=new).raise_for_status()
    every = {**body, "k": 99}
    before = client.post("/v1/recommendations", json=every).json()["items"]
    engine_of(server).kill()
    down = client.post("/v1/recommendations", json=body)
    assert (down.status_code, down.json()["error"]["code"]) == (503, "engine_down")
    until(lambda: client.get("/readyz").status_code == 200)
    after = client.post("/v1/recommendations", json=every).json()["items"]
    assert [item["id"] for item in after] == [item["id"] for item in before]
    assert "new" in {item["id"] for item in after}


def test_the_server_answers_on_vllm_as_on_transformers(tmp_path: Path) -> None:
    path = trained(tmp_path / "run", 0)
    adapted(Bundle.load(path), tmp_path / "adapter")
    settings = [
        "runtime=vllm", f'adapters={{{ADAPTER}="{tmp_path}/adapter"}}',
        "vllm={enforce_eager=true, max_lora_rank=8}",
    ]  # fmt: skip
    sets = [part for setting in settings for part in ("--set", setting)]
    answers = []
    for name, options in (("plain", []), ("vllm", sets)):
        store = f"sqlite:///{tmp_path}/{name}.db"
        environment = VLLM | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
        with served(path, "--store", store, *options, **environment) as server:
            client = server.client()
            models = [model["id"] for model in client.get("/v1/models").json()["data"]]
            body = {"history": ["i1", "i2"], "k": 5}
            mine = client.post("/v1/recommendations", json=body).json()
            other = client.post("/v1/recommendations", json={**body, "adapter": ADAPTER})
            answers.append((models, mine["items"], other.status_code, other.json().get("model")))
            if name == "vllm":
                comes_back(server, body)
            assert server.stop() == 0
    plain, vllm = answers
    assert plain[0] == ["toy"]
    assert vllm[0] == ["toy", ADAPTER]
    assert (plain[2], vllm[2:]) == (404, (200, ADAPTER))
    for one, two in zip(plain[1], vllm[1], strict=True):
        assert one["id"] == two["id"]
        assert one["score"] == pytest.approx(two["score"], abs=1e-4)

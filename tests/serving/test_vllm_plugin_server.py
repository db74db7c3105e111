"""A stock vLLM server with the plugin answers in the catalog, and refuses what it could not."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

import httpx
import polars as pl
import pytest

from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog
from rec_gen.testing import random_bundle, tiny_model
from tests.serving.vllm_server import vllm_server

TITLES = ["Alien", "Aliens", "Amélie", "Brazil", "Brazil 2", "Casino", "Clue"]
PLUGIN = {"group": "vllm.logits_processors", "name": "rec_gen"}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
    pytest.mark.skipif(
        not entry_points(**PLUGIN), reason="the plugin is not registered: install rec_gen again"
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("server")
    frame = {"item": [str(n) for n in range(len(TITLES))], "title": TITLES}
    bundle = random_bundle(Catalog(pl.DataFrame(frame)), "title")
    end = bundle.tokenizer.eos_token_id
    model = tiny_model(len(bundle.tokenizer), hidden_size=64, head_dim=32, eos_token_id=end)
    Bundle(**{**vars(bundle), "model": model}).save(folder / "bundle")
    catalogs = f"movies={folder / 'bundle'}"
    with vllm_server(folder / "bundle", folder / "log", RECGEN_CATALOGS=catalogs) as client:
        yield client


def ask(server: httpx.Client, catalog: Any = "movies", **options: Any) -> httpx.Response:
    body = {"model": "toy", "prompt": "I liked Heat. Next:", "max_tokens": 32, **options}
    if catalog is not None:
        body["vllm_xargs"] = {"catalog": catalog}
    return server.post("/v1/completions", json=body)


def texts(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    choices = response.json()["choices"]
    assert {choice["finish_reason"] for choice in choices} == {"stop"}
    return [choice["text"].rstrip("\n") for choice in choices]


def test_greedy_and_sampled_answers_are_items(server: httpx.Client) -> None:
    (best,) = texts(ask(server, temperature=0))
    assert best in TITLES
    drawn = texts(ask(server, n=32, temperature=2.0, seed=1))
    assert set(drawn) <= set(TITLES)
    assert len(set(drawn)) > 2
    assert texts(ask(server, n=32, temperature=2.0, seed=1)) == drawn


def test_options_of_sampling_do_not_lead_out(server: httpx.Client) -> None:
    for options in (
        {"top_k": 1}, {"top_p": 0.01}, {"min_p": 0.9}, {"repetition_penalty": 2.0},
        {"presence_penalty": 2.0}, {"logit_bias": {"5": 100}}, {"logprobs": 3},
    ):  # fmt: skip
        assert set(texts(ask(server, n=4, temperature=2.0, **options))) <= set(TITLES)


def test_answers_stream(server: httpx.Client) -> None:
    body = {
        "model": "toy", "prompt": "Next:", "max_tokens": 32, "stream": True,
        "vllm_xargs": {"catalog": "movies"},
    }  # fmt: skip
    with server.stream("POST", "/v1/completions", json=body) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    pieces = [json.loads(line)["choices"][0]["text"] for line in lines[:-1]]
    assert "".join(pieces).rstrip("\n") in TITLES


def test_a_chat_answers_with_an_item(server: httpx.Client) -> None:
    body = {
        "model": "toy", "messages": [{"role": "user", "content": "A film?"}], "max_tokens": 32,
        "vllm_xargs": {"catalog": "movies"},
    }  # fmt: skip
    response = server.post("/v1/chat/completions", json=body)
    assert response.json()["choices"][0]["message"]["content"].rstrip("\n") in TITLES


def test_others_are_not_disturbed(server: httpx.Client) -> None:
    alone = ask(server, None, temperature=0).json()["choices"][0]["text"]
    with ThreadPoolExecutor(16) as pool:
        kinds = ["movies", None] * 16
        answers = list(pool.map(lambda kind: ask(server, kind, temperature=0), kinds))
    for kind, answer in zip(kinds, answers, strict=True):
        if kind is None:
            assert answer.json()["choices"][0]["text"] == alone
        else:
            assert texts(answer)[0] in TITLES
    assert alone.rstrip("\n") not in TITLES


@pytest.mark.parametrize(
    ("catalog", "options", "message"),
    [
        ("books", {}, "the catalogs are: movies"),
        (7, {}, "is no name"),
        (["movies"], {}, "is no name"),
        ("movies", {"max_tokens": 2}, "would cut items"),
        ("movies", {"stop": ["A"]}, "stop: it cannot stand"),
        ("movies", {"min_tokens": 5}, "min_tokens: it cannot stand"),
        ("movies", {"ignore_eos": True}, "ignore_eos: it cannot stand"),
        ("movies", {"allowed_token_ids": [3]}, "allowed_token_ids: it cannot stand"),
        ("movies", {"structured_outputs": {"choice": ["a"]}}, "structured_outputs: it cannot"),
    ],
)
def test_bad_requests_are_refused_and_kill_nothing(
    server: httpx.Client, catalog: Any, options: dict[str, Any], message: str
) -> None:
    refused = ask(server, catalog, **options)
    assert refused.status_code == 400, refused.text
    assert message in refused.json()["error"]["message"]
    assert texts(ask(server, temperature=0))[0] in TITLES

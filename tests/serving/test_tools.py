"""The tools as functions of OpenAI's API, and that a call of one is answered."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openai import pydantic_function_tool

from rec_gen.errors import ConfigError, DataError, RecGenError, RuleError
from rec_gen.recommender import Recommender
from serving.engine import RecommenderEngine
from serving.tools.function_schemas import function_schema
from serving.tools.offered import offered_tools
from serving.tools.toolbox import Toolbox
from tests.rec_gen.command import run
from tests.serving.conftest import in_process

pytestmark = pytest.mark.anyio
EVERY = {"next_item", "search", "explanation", "reply"}
REFUSED = {"default", "minLength", "maxLength", "pattern", "format", "allOf", "oneOf", "not"}
"""Keywords that strict mode refuses, or that some models do."""


@pytest.fixture(scope="module")
async def toolbox(tasks_bundle: Path) -> AsyncIterator[Toolbox]:
    engine = RecommenderEngine(Recommender.load(tasks_bundle, device="cpu"))
    yield Toolbox(engine)
    await engine.close()


@pytest.fixture(scope="module")
async def plain(bundle: Path) -> AsyncIterator[Toolbox]:
    engine = RecommenderEngine(Recommender.load(bundle, device="cpu"))
    yield Toolbox(engine)
    await engine.close()


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object within a JSON value, itself included."""
    if isinstance(schema, dict):
        yield schema
        for inner in schema.values():
            yield from objects(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from objects(inner)


def nullable(field: dict[str, Any]) -> bool:
    return {"type": "null"} in field.get("anyOf", ())


@pytest.mark.parametrize("tool", offered_tools(EVERY, ["item", "title"]), ids=lambda one: one.name)
def test_a_function_keeps_the_rules_of_strict_mode(tool: Any) -> None:
    told = function_schema(tool)
    assert set(told) == {"type", "function"}
    function = told["function"]
    assert function["strict"] is True
    parameters = function["parameters"]
    Draft202012Validator.check_schema(parameters)
    for one in objects(parameters):
        if one.get("type") == "object":
            assert one["additionalProperties"] is False
            assert one["required"] == list(one["properties"])
        assert REFUSED.isdisjoint(one)
    for name, field in tool.arguments.model_fields.items():
        assert nullable(parameters["properties"][name]) == (not field.is_required())
    reference = pydantic_function_tool(tool.arguments)["function"]["parameters"]
    assert reference["required"] == parameters["required"]


def test_only_what_is_learnt_is_offered() -> None:
    def names(*tasks: str) -> list[str]:
        return [tool.name for tool in offered_tools(tasks, ["item", "title"])]

    assert names("next_item") == ["recommend", "search_items"]
    assert names("next_item", "rating") == ["recommend", "search_items"]
    assert names("conversation") == ["search_items"]
    assert names("conversation", "search") == ["recommend", "search_items"]
    assert names("next_item", "reply") == ["recommend", "search_items", "reply"]
    assert names("next_item", "explanation") == ["recommend", "search_items", "explain"]
    for tasks, known in ((["next_item"], False), (["next_item", "search"], True)):
        (recommend, *_) = offered_tools(tasks, ["item", "title"])
        assert ("words" in recommend.arguments.model_fields) == known


async def test_the_command_the_server_and_the_engine_tell_the_same(
    tasks_bundle: Path, toolbox: Toolbox, tmp_path: Path
) -> None:
    printed = run("schema", tasks_bundle)
    assert printed.exit_code == 0, printed.output
    told = json.loads(printed.stdout)
    assert told == [function_schema(tool) for tool in toolbox.tools]
    assert "brand" in told[0]["function"]["description"]
    async with in_process(tasks_bundle, tmp_path / "store.db") as (_, client):
        assert (await client.get("/v1/tools")).json() == told


async def test_a_call_of_a_function_is_answered(toolbox: Toolbox) -> None:
    (schema, *_) = [function_schema(tool) for tool in toolbox.tools]
    called = dict.fromkeys(schema["function"]["parameters"]["required"])
    called |= {"history": ["i1"], "k": 3, "where": 'brand == "Brand A"', "block": ["i3"]}
    Draft202012Validator(schema["function"]["parameters"]).validate(called)
    answer = await toolbox.call("recommend", json.dumps(called))
    Draft202012Validator(toolbox.tools[0].answer.model_json_schema()).validate(answer)
    found = answer["items"]
    assert sorted(item["id"] for item in found) == ["i0", "i6", "i9"]
    assert all(item["fields"]["brand"] == "Brand A" for item in found)
    assert found[0]["score"] >= found[1]["score"]
    assert answer == await toolbox.call("recommend", called)


async def test_words_are_searched_and_a_history_is_left_out(toolbox: Toolbox) -> None:
    words = await toolbox.call("recommend", {"words": "amber", "history": ["i0", "i5"], "k": 12})
    assert len(words["items"]) == 10
    assert not {"i0", "i5"}.intersection(item["id"] for item in words["items"])
    other = await toolbox.call("recommend", {"words": "lark", "history": ["i0", "i5"], "k": 12})
    assert [one["score"] for one in other["items"]] != [one["score"] for one in words["items"]]
    assert len((await toolbox.call("recommend", {}))["items"]) == 10


async def test_items_are_looked_up_and_explained(toolbox: Toolbox) -> None:
    found = await toolbox.call("search_items", {"title": "FILM 1", "limit": 2})
    assert ([item["id"] for item in found["items"]], found["total"]) == (["i1", "i10"], 3)
    brand = await toolbox.call("search_items", {"where": 'brand == "Brand A"'})
    assert brand["total"] == 4
    said = (await toolbox.call("explain", {"history": ["i1"], "items": ["i4", "i5"]}))[
        "explanations"
    ]
    assert said == [
        {"item": "i4", "explanation": "It shares Brand B (brand) with Film 1 birch."},
        {"item": "i5", "explanation": None},
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "message"),
    [
        ("buy", {}, ConfigError, "there is no tool 'buy'; there are recommend, search_items, exp"),
        ("recommend", {"k": 0}, ConfigError, "recommend: k: Input should be greater than or equal"),
        ("recommend", {"k": "3"}, ConfigError, "recommend: k: Input should be a valid integer"),
        ("recommend", {"kk": 3}, ConfigError, "recommend: kk: Extra inputs are not permitted"),
        ("recommend", "{", ConfigError, "recommend: arguments: Invalid JSON"),
        ("recommend", "[]", ConfigError, "recommend: arguments: Input should be an object"),
        ("recommend", {"history": ["x"]}, DataError, "item 'x' is not in the catalog"),
        ("recommend", {"block": ["x"]}, DataError, "item 'x' is not in the catalog"),
        ("recommend", {"where": "price < 3"}, RuleError, "price"),
        ("recommend", {"allow": []}, RecGenError, "no item is left after the filters"),
        ("search_items", {"where": "("}, RuleError, ""),
        ("explain", {"history": []}, ConfigError, "explain: items: Field required"),
        ("explain", {"history": [], "items": ["x"]}, DataError, "item 'x' is not in the catalog"),
    ],
)
async def test_a_wrong_call_is_one_line(
    toolbox: Toolbox, name: str, arguments: Any, kind: type[RecGenError], message: str
) -> None:
    with pytest.raises(kind) as refused:
        await toolbox.call(name, arguments)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_a_tool_that_is_not_offered_is_not_run(plain: Toolbox) -> None:
    with pytest.raises(ConfigError, match="there is no tool 'explain'"):
        await plain.call("explain", {"history": ["i1"], "items": ["i4"]})
    with pytest.raises(ConfigError, match="words: Extra inputs are not permitted"):
        await plain.call("recommend", {"words": "amber"})


async def test_a_dialogue_is_replied_to(replying_bundle: Path) -> None:
    engine = RecommenderEngine(Recommender.load(replying_bundle, device="cpu"))
    toolbox = Toolbox(engine)
    (tool,) = (one for one in toolbox.tools if one.name == "reply")
    parameters = function_schema(tool)["function"]["parameters"]
    said = [
        {"role": "user", "content": "What now?", "items": None},
        {"role": "assistant", "content": "Film 2 cedar.", "items": None},
        {"role": "user", "content": "Seen it. Nothing of Brand A", "items": None},
    ]
    called = dict.fromkeys(parameters["required"])
    called |= {"messages": said, "items": 2, "max_tokens": 8}
    Draft202012Validator(parameters).validate(called)
    answer = await toolbox.call("reply", json.dumps(called))
    Draft202012Validator(tool.answer.model_json_schema()).validate(answer)
    assert 0 < len(answer["items"]) <= 2
    for item in answer["items"]:
        assert answer["text"][item["start"] : item["stop"]] == item["title"]
        assert item["fields"]["brand"] != "Brand A"
    assert [one["block"] for one in answer["understood"]] == [["i2"], []]
    again = await toolbox.call("reply", called | {"ignore": [answer["understood"][1]["said"]]})
    assert len(again["understood"]) == 1
    with pytest.raises(ConfigError, match=r"reply: messages\.0\.role: Input should be 'user' or"):
        await toolbox.call("reply", {"messages": [{"role": "system", "content": "x"}]})
    with pytest.raises(DataError, match="must end with a turn of the user"):
        await toolbox.call("reply", {"messages": said[:2]})
    await engine.close()

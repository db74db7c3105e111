"""The MCP server as agents start it: a process that is spoken to over its standard streams."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult, TextContent

from rec_gen.answers import Answer
from rec_gen.errors import RecGenError
from rec_gen.recommender import Recommender
from serving.engine import RecommenderEngine
from serving.queries import Query
from serving.tools.mcp_server import mcp_server
from serving.tools.toolbox import Toolbox
from tests.serving.server import ROOT

pytestmark = pytest.mark.anyio
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

GREETING = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}  # fmt: skip


def command(bundle: Path) -> list[str]:
    return ["-m", "rec_gen", "mcp", str(bundle), "--device", "cpu"]


@asynccontextmanager
async def agent(bundle: Path, *more: str) -> AsyncIterator[Client]:
    server = StdioServerParameters(
        command=sys.executable, args=[*command(bundle), *more], env=ENVIRONMENT, cwd=ROOT
    )
    async with Client(server, read_timeout_seconds=120) as client:
        yield client


def text(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def servers() -> list[psutil.Process]:
    """The processes that this one has started as MCP servers and that have not ended."""
    started = psutil.Process().children(recursive=True)
    return [one for one in started if "mcp" in one.cmdline()]


@pytest.mark.slow
async def test_an_agent_calls_every_tool(replying_bundle: Path) -> None:
    async with agent(replying_bundle) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert list(tools) == ["recommend", "search_items", "explain", "reply"]
        assert all(tool.output_schema for tool in tools.values())
        called = {"history": ["i1"], "k": 3, "where": 'brand == "Brand A"'}
        answer = await client.call_tool("recommend", called)
        assert not answer.is_error
        assert json.loads(text(answer)) == answer.structured_content
        assert len(answer.structured_content["items"]) == 3
        found = await client.call_tool("search_items", {"title": "lark"})
        assert [item["id"] for item in found.structured_content["items"]] == ["i11"]
        said = await client.call_tool("explain", {"history": ["i1"], "items": ["i4"]})
        assert "Brand B" in said.structured_content["explanations"][0]["explanation"]
        message = {"role": "user", "content": "Something of Brand B?"}
        reply = await client.call_tool("reply", {"messages": [message], "max_tokens": 8})
        assert reply.structured_content["items"]
        assert reply.structured_content["understood"][0]["rule"]
        both = await asyncio.gather(
            client.call_tool("recommend", {"words": "amber"}),
            client.call_tool("search_items", {}),
        )
        assert [len(one.structured_content["items"]) for one in both] == [10, 12]
        assert len(servers()) == 1
    assert not servers()  # it ended when the agent left


@pytest.mark.slow
async def test_what_is_wrong_is_told_and_the_server_goes_on(bundle: Path) -> None:
    async with agent(bundle) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["recommend", "search_items"]
        for name, arguments, message in (
            ("recommend", {"k": 0}, "recommend: k: Input should be greater than or equal to 1"),
            ("recommend", {"history": ["x"]}, "item 'x' is not in the catalog of 12 items"),
            ("recommend", {"allow": []}, "no item is left after the filters; loosen them"),
            ("explain", {}, "there is no tool 'explain'; there are recommend, search_items"),
        ):
            refused = await client.call_tool(name, arguments)
            assert refused.is_error
            assert text(refused) == message
            assert refused.structured_content is None
        assert not (await client.call_tool("recommend", {"history": ["i1"]})).is_error


class Held(RecommenderEngine):
    """Recommends when it is let."""

    leave = asyncio.Event()

    async def answer(self, queries: Sequence[Query]) -> list[Answer | RecGenError]:
        await self.leave.wait()
        return await super().answer(queries)


async def test_a_long_search_holds_up_no_other_call(bundle: Path) -> None:
    engine = Held(Recommender.load(bundle, device="cpu"))
    async with Client(mcp_server("toy", Toolbox(engine))) as client:
        long = asyncio.create_task(client.call_tool("recommend", {"history": ["i1"]}))
        found = await client.call_tool("search_items", {"title": "lark"})
        assert found.structured_content["total"] == 1
        assert not long.done()
        engine.leave.set()
        assert len((await long).structured_content["items"]) == 10
    await engine.close()


@pytest.mark.slow
def test_only_the_protocol_is_written_to_standard_output(bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, *command(bundle)],
        input=f"no JSON\n{json.dumps(GREETING)}\n",
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(line["jsonrpc"] == "2.0" for line in lines)
    (greeting,) = [line["result"] for line in lines if line.get("id") == 1]
    assert greeting["serverInfo"]["name"] == "toy"


@pytest.mark.slow
def test_a_client_that_leaves_during_a_call_ends_the_server(bundle: Path) -> None:
    call = {"name": "recommend", "arguments": {"history": ["i1"]}}
    server = subprocess.Popen(
        [sys.executable, *command(bundle)],
        cwd=ROOT, env=ENVIRONMENT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert server.stdin is not None
    assert server.stdout is not None
    print(json.dumps(GREETING), file=server.stdin, flush=True)
    assert json.loads(server.stdout.readline())["id"] == 1
    server.stdout.close()
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    asked = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}
    print(json.dumps(ready), json.dumps(asked), sep="\n", file=server.stdin, flush=True)
    _, told = server.communicate(timeout=120)
    assert server.returncode == 0, told
    assert "Traceback" not in told
    assert "the client left while it was answered" in told


@pytest.mark.slow
def test_a_wrong_bundle_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, *command(tmp_path)],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("recgen: ")

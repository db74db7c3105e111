"""A bundle as a server of the Model Context Protocol, over standard input and output."""

import asyncio
import contextlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server

from rec_gen import __version__
from rec_gen.errors import RecGenError
from rec_gen.masking import Masker, Masking
from rec_gen.recommender import Recommender
from serving.engine import RecommenderEngine
from serving.errors import message_of
from serving.logs import set_up_logs
from serving.tools.toolbox import Toolbox

HINTS = types.ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
logger = logging.getLogger(__name__)


def run(
    bundle: Path,
    device: str | None = None,
    log_level: str = "info",
    *,
    mask: bool = False,
    domain: str | None = None,
) -> None:
    """Serve until the client leaves; only the protocol is written to standard output.

    Args:
        bundle: The bundle's folder.
        device: Where the model runs; CUDA if there is one.
        log_level: What is logged to standard error.
        mask: Mask personal data in what users say.
        domain: Which of its catalogs, where the bundle has several; None is the first.

    Raises:
        BundleError: The bundle is incomplete or was changed, or has no such domain.
        MissingPackageError: What masks personal data is not installed.
    """
    set_up_logs(log_level)
    with contextlib.redirect_stdout(sys.stderr):  # the protocol itself keeps a copy of it
        masker = Masker(Masking()) if mask else None
        recommender = Recommender.load(bundle, device=device, domain=domain)
    asyncio.run(_serve(RecommenderEngine(recommender), masker))


async def _serve(engine: RecommenderEngine, masker: Masker | None) -> None:
    server = mcp_server(engine.name, Toolbox(engine, masker))
    try:
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())
    except* BrokenPipeError:
        logger.info("the client left while it was answered")
    finally:
        await engine.close()


def mcp_server(name: str, toolbox: Toolbox) -> Server[Any]:
    """A server of tools.

    Args:
        name: What it calls itself.
        toolbox: The tools.
    """

    async def list_tools(
        _: ServerRequestContext[Any], __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        tools = [
            types.Tool(
                name=tool.name,
                description=tool.description,
                input_schema=tool.arguments.model_json_schema(),
                output_schema=tool.answer.model_json_schema(),
                annotations=HINTS,
            )
            for tool in toolbox.tools
        ]
        return types.ListToolsResult(tools=tools)

    async def call_tool(
        _: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        try:
            answer = await toolbox.call(params.name, params.arguments or {})
        except RecGenError as error:
            logger.info("a call was refused", extra={"fields": {"tool": params.name}})
            return _result(message_of(error), is_error=True)
        text = json.dumps(answer, ensure_ascii=False, allow_nan=False)
        return _result(text, structured_content=answer)

    return Server(name, version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


def _result(text: str, **more: Any) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], **more)

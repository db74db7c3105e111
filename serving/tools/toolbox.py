"""Has an engine do what a tool is called for."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import BaseModel, ValidationError

from rec_gen.catalog import Catalog
from rec_gen.errors import ConfigError, RecGenError
from rec_gen.index import Filters
from rec_gen.masking import Masker
from rec_gen.tasks import MAIN
from serving.dialogues import masked_words, turns_of
from serving.engine import Engine
from serving.item_search import find_items, passing
from serving.queries import Options, Query, ReplyOptions, ReplyQuery
from serving.responses import items_json, reply_json
from serving.tools.arguments import (
    Explain,
    Filtered,
    Recommend,
    RecommendInWords,
    Reply,
    SearchItems,
)
from serving.tools.offered import Tool, offered_tools

OPTIONS = tuple(field.name for field in fields(ReplyOptions))


class Toolbox:
    """The tools that an engine can do.

    Args:
        engine: What runs the model.
        masker: What takes personal data out of what users say.
    """

    def __init__(self, engine: Engine, masker: Masker | None = None) -> None:
        self._engine, self._masker = engine, masker
        self._runs: dict[str, Callable[[Any], Awaitable[dict[str, Any]]]] = {
            "recommend": self._recommend,
            "search_items": self._search_items,
            "explain": self._explain,
            "reply": self._reply,
        }

    @property
    def tools(self) -> list[Tool]:
        """What can be called."""
        return offered_tools(self._engine.tasks, self._engine.catalog.frame.columns)

    async def call(self, name: str, arguments: str | Mapping[str, Any]) -> dict[str, Any]:
        """Call a tool.

        Args:
            name: One of `tools`.
            arguments: What it takes, as a mapping, or as JSON, as OpenAI's API tells it.

        Returns:
            The answer, as the tool's `answer` describes it.

        Raises:
            ConfigError: There is no such tool, or a field of the arguments is wrong.
            RecGenError: The engine refuses what is asked for.
        """
        tools = {tool.name: tool for tool in self.tools}
        if name not in tools:
            raise ConfigError(f"there is no tool '{name}'; there are {', '.join(tools)}")
        return await self._runs[name](_read(tools[name], arguments))

    async def _recommend(self, asked: Recommend) -> dict[str, Any]:
        words = asked.words if isinstance(asked, RecommendInWords) else None
        if words is None and MAIN not in self._engine.tasks:
            raise ConfigError(
                "recommend: words: give some, as the model has not learnt to go by histories alone"
            )
        if words is not None:
            words = await asyncio.to_thread(masked_words, self._engine.names, words, self._masker)
        history = tuple(asked.history or ())
        query = Query(
            history if words is None else (),
            words,
            _filters(asked, history),
            Options(asked.k or 10),
        )
        (answer,) = await self._engine.answer([query])
        if isinstance(answer, RecGenError):
            raise answer
        return {"items": items_json(answer)}

    async def _search_items(self, asked: SearchItems) -> dict[str, Any]:
        return await asyncio.to_thread(_found, self._engine.catalog, asked)

    async def _explain(self, asked: Explain) -> dict[str, Any]:
        said = await self._engine.explain(asked.history, asked.items)
        pairs = zip(asked.items, said, strict=True)
        return {"explanations": [{"item": item, "explanation": one} for item, one in pairs]}

    async def _reply(self, asked: Reply) -> dict[str, Any]:
        told = asked.model_dump(include=set(OPTIONS), exclude_none=True)
        query = ReplyQuery(
            await asyncio.to_thread(turns_of, self._engine.names, asked.messages, self._masker),
            tuple(asked.history or ()),
            tuple(asked.ignore or ()),
            _filters(asked),
            ReplyOptions(**told),
        )
        (reply,) = await self._engine.reply([query])
        if isinstance(reply, RecGenError):
            raise reply
        return reply_json(reply)


def _filters(asked: Filtered, seen: Sequence[str] = ()) -> Filters:
    allow = None if asked.allow is None else tuple(asked.allow)
    return Filters((*seen, *(asked.block or ())), allow, asked.where)


def _read(tool: Tool, arguments: str | Mapping[str, Any]) -> BaseModel:
    """The arguments of a call, or what is wrong with the first field that is."""
    try:
        if isinstance(arguments, str):
            return tool.arguments.model_validate_json(arguments)
        return tool.arguments.model_validate(arguments)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "arguments"
        raise ConfigError(f"{tool.name}: {place}: {first['msg']}") from None


def _found(catalog: Catalog, asked: SearchItems) -> dict[str, Any]:
    passed = passing(catalog, asked.where)
    return find_items(catalog, passed, asked.title or "", asked.limit or 20)

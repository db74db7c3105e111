"""Which tools there are, and which of them a model can do."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from rec_gen.tasks import MAIN
from serving.reply_schemas import ReplyContent
from serving.schemas import CatalogItems, ScoredItem
from serving.tools.arguments import Explain, Recommend, RecommendInWords, Reply, SearchItems


class RecommendedItems(BaseModel):
    """Recommended items, best first."""

    items: list[ScoredItem]


class Explanation(BaseModel):
    """Why an item fits."""

    item: str
    explanation: str | None = Field(
        description="What it shares with the history; null where that is nothing rare."
    )


class Explanations(BaseModel):
    """Why items fit, in the order in which they were asked about."""

    explanations: list[Explanation]


@dataclass(frozen=True)
class Tool:
    """Something that an agent can call.

    Attributes:
        name: What it is called by.
        description: What it does, for the model that decides whether to call it.
        arguments: What it takes.
        answer: What it returns.
    """

    name: str
    description: str
    arguments: type[BaseModel]
    answer: type[BaseModel]


def offered_tools(tasks: Collection[str], columns: Sequence[str]) -> list[Tool]:
    """The tools of a model; what it has not learnt is not among them.

    Args:
        tasks: The tasks that it has learnt.
        columns: The columns of its catalog.
    """
    named = f"The columns of items are: {', '.join(columns)}."
    tools = [
        Tool(
            "search_items",
            f"Look up items of the catalog by a part of their title, or by a rule. {named}",
            SearchItems,
            CatalogItems,
        )
    ]
    if {MAIN, "search"}.intersection(tasks):
        arguments = RecommendInWords if "search" in tasks else Recommend
        described = f"Recommend items of the catalog, the best first. {named}"
        tools.insert(0, Tool("recommend", described, arguments, RecommendedItems))
    if "explanation" in tasks:
        described = "Say why items of the catalog fit a history, by what they share with it."
        tools.append(Tool("explain", described, Explain, Explanations))
    if "reply" in tasks:
        described = (
            "Reply to a dialogue about what to choose with a text that names items of the catalog. "
            "Wishes such as 'not horror' hold as filters; `understood` tells what was made of them."
        )
        tools.append(Tool("reply", described, Reply, ReplyContent))
    return tools

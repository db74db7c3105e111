"""What each tool takes; a field that is null is as good as one that is left out."""

from pydantic import Field

from serving.reply_schemas import IGNORED, ReplyMessage
from serving.schemas import MANY, Body, Identity, Text

MOST = 100
"""Items that a tool returns at most, so that an answer fits an agent's context."""


class Filtered(Body):
    """What may be returned."""

    where: Text | None = Field(
        None, description='A rule over item columns, such as `year > 1990 and "Drama" in genres`.'
    )
    allow: list[Identity] | None = Field(
        None, max_length=MANY, description="Ids: return none but these items."
    )
    block: list[Identity] | None = Field(
        None, max_length=MANY, description="Ids: return none of these items."
    )


class Recommend(Filtered):
    """A request for recommendations after a history."""

    history: list[Identity] | None = Field(
        None, max_length=MANY, description="Ids of the items that somebody chose, oldest first."
    )
    k: int | None = Field(None, ge=1, le=MOST, description="Items to return; 10 without.")


class RecommendInWords(Recommend):
    """A request for recommendations that may be told in words."""

    words: Text | None = Field(
        None,
        min_length=1,
        description="A few words that items are found by, instead of by what the history leads to.",
    )


class SearchItems(Body):
    """A look into the catalog."""

    title: Text | None = Field(None, description="A part of the title; capitals change nothing.")
    where: Text | None = Field(
        None, description='A rule over item columns, such as `year > 1990 and "Drama" in genres`.'
    )
    limit: int | None = Field(None, ge=1, le=MOST, description="Items to return; 20 without.")


class Explain(Body):
    """A question why items fit a history."""

    history: list[Identity] = Field(
        max_length=MANY, description="Ids of the items that somebody chose, oldest first."
    )
    items: list[Identity] = Field(
        min_length=1, max_length=MOST, description="Ids of the items that are asked about."
    )


class Reply(Filtered):
    """A dialogue that is to be replied to."""

    messages: list[ReplyMessage] = Field(
        min_length=1, max_length=1000, description="Oldest first; the last one is the user's."
    )
    history: list[Identity] | None = Field(
        None,
        max_length=MANY,
        description="Ids of the items that the user chose before, oldest first.",
    )
    ignore: list[Text] | None = Field(None, max_length=MANY, description=IGNORED)
    items: int | None = Field(
        None, ge=1, le=MOST, description="Items that the reply names at most; 3 without."
    )
    max_tokens: int | None = Field(
        None, ge=1, le=1000, description="Tokens of the reply at most; 64 without."
    )
    temperature: float | None = Field(
        None, ge=0, le=100, description="Above 0 the reply is drawn; without, it is the likeliest."
    )
    seed: int | None = Field(
        None, ge=-(2**63), lt=2**63, description="The same seed draws the same reply."
    )

"""The bodies of requests for replies, and of replies."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.schemas import MANY, AskBase, Body, Identity, ScoredItem, Text, Usage

Said = Annotated[list[Text], Field(max_length=MANY)]
NAMED = "Ids of the items that an assistant's message names; null finds them by their titles."
IGNORED = (
    "What `understood` said that was misunderstood, word for word: it does not hold, wherever it "
    "was said. `2: no horror` is that of the first two messages of the user alone."
)


class ReplyMessage(Body):
    """A turn of a dialogue."""

    role: Literal["user", "assistant"]
    content: Text
    items: list[Identity] | None = Field(None, max_length=MANY, description=NAMED)

    @property
    def text(self) -> str:
        """The words."""
        return self.content


class ReplyFields(BaseModel):
    """How to reply, where the model has learnt to."""

    items: int = Field(3, ge=1, le=1000, description="Items that a reply names, at most.")
    max_tokens: int = Field(64, ge=1, le=100_000, description="Tokens of a reply, at most.")
    ignore: Said = Field([], description=IGNORED)


class ReplyRequest(AskBase, ReplyFields):
    """A dialogue that is to be replied to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "messages": [
                        {"role": "user", "content": "Something like Heat"},
                        {"role": "assistant", "content": "Try Ronin.", "items": ["156"]},
                        {"role": "user", "content": "I have seen it. Something shorter?"},
                    ],
                    "history": ["50", "172"],
                }
            ]
        }
    )
    messages: list[ReplyMessage] = Field(min_length=1, max_length=1000)


class MentionedItem(ScoredItem):
    """An item that a reply names."""

    start: int = Field(description="Where its title begins in the text, in Unicode characters.")
    stop: int = Field(description="Where its title ends.")


class Understood(BaseModel):
    """Something that the user stated, and what was made of it."""

    said: str = Field(description="The words, which `ignore` takes back.")
    rule: str | None = Field(description="What items must pass.")
    block: list[str] = Field(description="Ids of items that must not come back.")
    lifts: str | None = Field(
        description="An earlier rule that holds no longer, or `not` and a title."
    )
    problem: str | None = Field(description="Why the wish cannot be kept.")


class ReplyContent(BaseModel):
    """A reply, the items that it names, in their order, and what was understood."""

    text: str
    items: list[MentionedItem]
    understood: list[Understood]


class ReplyAnswer(ReplyContent):
    """The answer to a dialogue."""

    id: str
    model: str
    catalog_version: int
    usage: Usage

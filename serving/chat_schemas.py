"""OpenAI's chat completions, as far as a recommender can follow them."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from serving.reply_schemas import NAMED, MentionedItem, ReplyFields, Understood
from serving.schemas import MANY, Ask, Identity, RecommendedItem, Text, Usage

Words = Annotated[str, StringConstraints(max_length=4000)]


class TextPart(BaseModel):
    """A part of a message."""

    type: Literal["text"]
    text: Words


class Message(BaseModel):
    """A turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Words | list[TextPart] | None = None
    items: list[Identity] | None = Field(None, max_length=MANY, description=NAMED)

    @property
    def text(self) -> str:
        """The message as one text."""
        if isinstance(self.content, list):
            return " ".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(BaseModel):
    """What a stream tells beside the text."""

    include_usage: bool = False


class ChatRequest(Ask, ReplyFields):
    """A chat completion; what OpenAI's API knows beside these fields is ignored."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "model": "quickstart",
                    "messages": [{"role": "user", "content": "a space adventure"}],
                    "history": ["50"],
                }
            ]
        },
    )
    model: Text
    messages: list[Message] = Field(min_length=1, max_length=1000)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    max_completion_tokens: int | None = Field(
        None, ge=1, le=100_000, description="The newer name of `max_tokens`."
    )

    @field_validator("stream", "max_tokens", mode="before")
    @classmethod
    def _null_is_the_default(cls, value: Any, info: ValidationInfo) -> Any:
        return cls.model_fields[str(info.field_name)].default if value is None else value

    @property
    def words(self) -> str:
        """What the user said last."""
        return next((turn.text for turn in reversed(self.messages) if turn.role == "user"), "")


class ChatMessage(BaseModel):
    """The answer: a reply, or titles, one a line."""

    role: Literal["assistant"] = "assistant"
    content: str


class Choice(BaseModel):
    """The one answer."""

    index: int = 0
    message: ChatMessage
    finish_reason: Literal["stop"] = "stop"
    logprobs: None = None


class ChatCompletion(BaseModel):
    """A chat completion, with the items that its text names."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    items: list[MentionedItem | RecommendedItem]
    understood: list[Understood] | None = Field(
        None, description="What the user stated, where the model has learnt to reply."
    )


class Model(BaseModel):
    """A model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "rec_gen"


class Models(BaseModel):
    """The models."""

    object: Literal["list"] = "list"
    data: list[Model]

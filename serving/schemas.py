"""The bodies of requests and answers, as OpenAPI describes them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Identity = Annotated[
    str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Text = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")]
MANY = 10_000
JsonValue = str | int | float | bool | None | list[Any] | dict[str, Any]


class Body(BaseModel):
    """What a client says: exact types, and no field that is not known."""

    model_config = ConfigDict(strict=True, extra="forbid")


class MaxPer(Body):
    """At most so many items of each value of a column."""

    column: Text
    most: int = Field(ge=1, le=1_000_000)


class AskBase(Body):
    """What every request for items or for a reply may say."""

    history: list[Identity] | None = Field(
        None, max_length=MANY, description="Item ids, oldest first; instead of `user`."
    )
    user: Identity | None = Field(None, description="Whose kept history is read.")
    session: Identity | None = Field(None, description="Read this session of the user only.")
    where: Text | None = Field(None, description="A rule such as `price < 20`.")
    allow: list[Identity] | None = Field(None, max_length=MANY, description="Only these items.")
    block: list[Identity] = Field([], max_length=MANY, description="None of these items.")
    temperature: float | None = Field(
        None, ge=0, le=100, description="Above 0 the answer is drawn, at 0 it is the likeliest."
    )
    seed: int | None = Field(
        None, ge=-(2**63), lt=2**63, description="The same seed draws the same answer."
    )
    deadline_ms: int | None = Field(None, ge=1, le=3_600_000, description="Give up after so long.")


class Ask(AskBase):
    """What every request for items may say."""

    k: int = Field(10, ge=1, le=1000, description="Items to return.")
    exclude_seen: bool = Field(True, description="No item of the history.")
    max_per: MaxPer | None = None
    domain: Identity | None = Field(
        None, description="The catalog, where the model has several; by default its first."
    )


class RecommendationRequest(Ask):
    """A request for recommendations."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"history": ["50", "172"], "k": 5},
                {"user": "u42", "session": "s7", "where": 'price < 20 and "Drama" in genres'},
            ]
        }
    )
    template: Text | None = Field(None, description="Refuse unless this is the catalog's template.")
    adapter: Text | None = Field(None, description="The adapter that answers, one of the models.")
    explain: bool = Field(False, description="Say why each item fits, where the model can.")
    exposure: float = Field(
        0.0, ge=0, le=100, description="Raise rarer items by so much, where the model has counts."
    )


class CatalogItem(BaseModel):
    """An item that may be recommended."""

    id: str
    title: str
    fields: dict[str, JsonValue]


class ScoredItem(CatalogItem):
    """An item that is recommended."""

    score: float = Field(description="The log-probability.")


class RecommendedItem(ScoredItem):
    """A recommended item, and why it is, where that was asked for."""

    explanation: str | None = Field(
        None, description="What it shares with the history; null where that is nothing rare."
    )


class MixedRequest(Body):
    """A request for one list of several catalogs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "quota": {"movielens-1m": 6, "minionerec-industrial": 4},
                    "histories": {"movielens-1m": ["1", "260"]},
                },
                {"quota": {"movielens-1m": 6, "minionerec-industrial": 4}, "user": "u42"},
            ]
        }
    )
    quota: dict[Identity, Annotated[int, Field(ge=1, le=1000)]] = Field(
        min_length=1, max_length=256, description="How many items of each catalog."
    )
    histories: dict[Identity, list[Identity]] | None = Field(
        None, max_length=256, description="Item ids by catalog, oldest first; instead of `user`."
    )
    user: Identity | None = Field(None, description="Whose kept histories are read.")
    session: Identity | None = Field(None, description="Read this session of the user only.")
    exclude_seen: bool = Field(
        True, description="No item of the histories, nor its like elsewhere."
    )
    deadline_ms: int | None = Field(None, ge=1, le=3_600_000, description="Give up after so long.")


class MixedItem(ScoredItem):
    """A recommended item and its catalog; scores of different catalogs are not compared."""

    domain: str


class Usage(BaseModel):
    """Tokens that were read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Recommendations(BaseModel):
    """Recommended items, best first."""

    id: str
    model: str
    items: list[RecommendedItem]
    certified: bool = Field(description="No other item would rank higher than the last one.")
    catalog_version: int = Field(description="Of the first catalog; 0 for further ones.")
    usage: Usage


class MixedRecommendations(BaseModel):
    """Items of several catalogs, each beginning shared out as the whole is."""

    id: str
    model: str
    items: list[MixedItem]
    certified: bool = Field(description="So is the part of each catalog.")
    usage: Usage


class EventRequest(Body):
    """Something that a user did with an item."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user": "u42", "item": "50", "kind": "purchase"}]}
    )
    user: Identity
    item: Identity
    kind: Literal["click", "view", "purchase", "rating", "other"] = "click"
    session: Identity | None = None
    domain: Identity | None = Field(
        None, description="The catalog of the item, where the model has several."
    )


class EventAnswer(BaseModel):
    """What became of an event."""

    kept: bool = Field(description="False where the same event was kept before.")


class PutItem(Body):
    """An item of the catalog."""

    id: Identity
    title: Text = Field(min_length=1)
    fields: dict[Text, JsonValue] = Field({}, max_length=256)
    codes: list[int] | None = Field(
        None,
        max_length=64,
        description="The semantic ID, where the model spells by one; a new item gets the nearest "
        "one where the bundle kept what makes them.",
    )


class PutItems(Body):
    """Items that are added, or that replace those with their ids."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [{"id": "new-1", "title": "A new film"}]}]}
    )
    items: list[PutItem] = Field(min_length=1, max_length=MANY)


class CatalogAnswer(BaseModel):
    """The version of the catalog after a change."""

    catalog_version: int


class CatalogItems(BaseModel):
    """Items that may be recommended."""

    items: list[CatalogItem]
    total: int = Field(description="How many there are, those beyond `limit` too.")


class AskLimits(BaseModel):
    """What one request may ask for."""

    k: int
    history: int


class DomainInfo(BaseModel):
    """A catalog, where the model has several."""

    name: str
    template: str = Field(description="The template of its prompt.")
    columns: list[str] = Field(description="The columns that `where` may name.")
    items: int


class Info(BaseModel):
    """What is served."""

    name: str = Field(description="The model's name.")
    template: str = Field(description="The template of its prompt; a model has one.")
    tasks: list[str] = Field(description="What the model has learnt.")
    catalog_version: int
    columns: list[str] = Field(description="The columns that `where` may name.")
    items: int = Field(description="Items that histories may name.")
    offered: int = Field(description="Items that may be recommended.")
    domains: list[DomainInfo] = Field(description="All catalogs, the first of which changes.")
    limits: AskLimits


class HistoryEvent(BaseModel):
    """An event of a history."""

    item: str
    kind: str
    time: float = Field(description="Seconds since 1970.")
    session: str | None
    domain: str | None = Field(description="The catalog; null where the model had one.")


class History(BaseModel):
    """What a user did, oldest first."""

    user: str
    events: list[HistoryEvent]


class Erased(BaseModel):
    """A user that was forgotten."""

    events: int


class ErrorDetail(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorAnswer(BaseModel):
    """Every error has this shape, which is that of OpenAI's API."""

    error: ErrorDetail

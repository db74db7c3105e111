"""What an engine is asked: for a list, for a reply, or why."""

from dataclasses import dataclass, field

from rec_gen.decoding.sampling import Sampling
from rec_gen.index import Filters
from rec_gen.replying import Turn


@dataclass(frozen=True)
class Options:
    """What requests must have in common to be searched together.

    Attributes:
        k: Items of an answer.
        sampling: Draw the items instead of taking the likeliest.
        max_per: A column, and how many items of each of its values an answer may have.
        exposure: How much rarer items are raised.
    """

    k: int = 10
    sampling: Sampling | None = None
    max_per: tuple[str, int] | None = None
    exposure: float = 0.0


@dataclass(frozen=True)
class Query:
    """One request, as an engine sees it.

    Attributes:
        history: Item ids of the catalog, oldest first.
        words: A request in words, which is answered instead where it is given.
        filters: What may be returned; what was seen is blocked there.
        options: What else was asked for.
        adapter: The adapter that answers, one of the engine's models.
        domain: The catalog that is asked, one of the engine's further ones; None is the first.
    """

    history: tuple[str, ...] = ()
    words: str | None = None
    filters: Filters = field(default_factory=Filters)
    options: Options = field(default_factory=Options)
    adapter: str | None = None
    domain: str | None = None


@dataclass(frozen=True)
class ReplyOptions:
    """What dialogues must have in common to be replied to together; see `Recommender.reply`.

    Attributes:
        items: Items that a reply names, at most.
        max_tokens: Tokens that the model writes, at most.
        temperature: 0 takes the likeliest words, above it they are drawn.
        seed: The same seed draws the same reply.
    """

    items: int = 3
    max_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class ReplyQuery:
    """One dialogue, as an engine sees it.

    Attributes:
        turns: Oldest first; the last one is the user's.
        history: Item ids of the catalog, oldest first.
        ignore: The `said` of wishes that were misunderstood.
        filters: What may be named, before what the dialogue wishes.
        options: What else was asked for.
        adapter: The adapter that answers, one of the engine's models.
    """

    turns: tuple[Turn, ...]
    history: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    filters: Filters = field(default_factory=Filters)
    options: ReplyOptions = field(default_factory=ReplyOptions)
    adapter: str | None = None


@dataclass(frozen=True)
class ExplainQuery:
    """Items of one answer that are to be explained.

    Attributes:
        history: Item ids of the catalog, oldest first.
        items: The ids of the items.
    """

    history: tuple[str, ...]
    items: tuple[str, ...]

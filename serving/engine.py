"""The seam between the server and what runs the model."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeAlias, TypeVar

from rec_gen.answers import Answer
from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog, Item
from rec_gen.errors import RecGenError
from rec_gen.live_bundle import LiveBundle
from rec_gen.names import Names
from rec_gen.remote import RemoteRecommender
from rec_gen.replying import Reply
from rec_gen.respelling import Codes
from serving.halving import answer_alike
from serving.queries import Query, ReplyQuery

if TYPE_CHECKING:
    from rec_gen.recommender import Recommender

P = ParamSpec("P")
R = TypeVar("R")
AnyRecommender: TypeAlias = "Recommender | RemoteRecommender"
Commit = Callable[[], Coroutine[Any, Any, None]]
"""Keeps a change that is known to fit, before any request sees it."""


class Engine(Protocol):
    """What runs the model. All methods are called from one event loop.

    Attributes:
        name: The model's name.
        models: All names that a request may ask for, the first of which is `name`.
        template: The name of the prompt's template.
        tasks: The tasks that the model has learnt.
    """

    name: str
    models: tuple[str, ...]
    template: str
    tasks: frozenset[str]

    @property
    def catalog(self) -> Catalog:
        """The items of the first catalog as they are now, with the removed ones."""

    @property
    def domains(self) -> Mapping[str, LiveBundle]:
        """All catalogs as they are now, by name; the first one alone changes."""

    @property
    def names(self) -> Names:
        """The names of the items as they are now."""

    @property
    def version(self) -> int:
        """How often the catalog was changed since the engine started."""

    @property
    def up(self) -> bool:
        """Whether it answers; all calls raise `EngineDownError` where it does not."""

    async def answer(self, queries: Sequence[Query]) -> list[Answer | RecGenError]:
        """Answer a batch; what one query did wrong stands in its place and harms no other."""

    async def reply(self, queries: Sequence[ReplyQuery]) -> list[Reply | RecGenError]:
        """Reply to a batch of dialogues, where the model has learnt to, as `answer` does."""

    async def explain(self, history: Sequence[str], items: Sequence[str]) -> list[str | None]:
        """Why items fit a history, where the model has learnt to; see `Recommender.explain`."""

    async def update(
        self, put: Iterable[Item], remove: Iterable[str], codes: Codes, commit: Commit | None = None
    ) -> int:
        """Change the catalog while requests go on; see `Recommender.update`."""

    async def close(self) -> None:
        """Let go of the model."""


class MortalEngine(Engine, Protocol):
    """An engine that another process runs, which may end before this one."""

    async def wait_until_down(self) -> None:
        """Return once nothing can be answered any more."""

    def kill(self) -> None:
        """Have it go down at once."""


def learnt_tasks(bundle: Bundle) -> frozenset[str]:
    """The tasks that a bundle's model has learnt, by its own template and the further ones."""
    return frozenset(template.header["task"] for template in (bundle.template, *bundle.tasks))


class RecommenderEngine:
    """Has a recommender search, one batch after the other, in a thread of their own.

    Args:
        recommender: Recommends from the first catalog.
        further: Recommend from the further ones, by domain.
    """

    def __init__(
        self, recommender: AnyRecommender, further: Mapping[str, AnyRecommender] | None = None
    ) -> None:
        manifest = recommender.bundle.manifest
        self.name = manifest.name
        self.models: tuple[str, ...] = (manifest.name,)
        self.template = manifest.prompt.template
        self.tasks = learnt_tasks(recommender.bundle)
        self._recommender, self._further = recommender, dict(further or {})
        self._searcher = ThreadPoolExecutor(1, "search")
        self._changer = ThreadPoolExecutor(1, "catalog")

    @property
    def catalog(self) -> Catalog:
        """The items of the first catalog as they are now, with the removed ones."""
        return self._recommender.catalog

    @property
    def domains(self) -> Mapping[str, LiveBundle]:
        """All catalogs as they are now, the first one first."""
        return {self._recommender.bundle.manifest.dataset: self._recommender, **self._further}

    @property
    def names(self) -> Names:
        """The names of the items as they are now."""
        return self._recommender.names

    @property
    def version(self) -> int:
        """How often the catalog was changed since the engine started."""
        return self._recommender.version

    @property
    def up(self) -> bool:
        """What is in this process lives as long as it does."""
        return True

    async def answer(self, queries: Sequence[Query]) -> list[Answer | RecGenError]:
        """Answer a batch, one search for all queries with equal options."""
        return await self._in_turn(
            answer_alike,
            self._search,
            queries,
            lambda one: (one.words is not None, one.domain, one.options),
        )

    async def reply(self, queries: Sequence[ReplyQuery]) -> list[Reply | RecGenError]:
        """Reply to a batch, all dialogues with equal options together."""
        return await self._in_turn(answer_alike, self._reply, queries, lambda one: one.options)

    async def explain(self, history: Sequence[str], items: Sequence[str]) -> list[str | None]:
        """Explain the items of one answer, when the searches before are done."""
        return await self._in_turn(self._recommender.explain, history, items)

    async def update(
        self, put: Iterable[Item], remove: Iterable[str], codes: Codes, commit: Commit | None = None
    ) -> int:
        """Change the catalog beside the searches."""
        loop = asyncio.get_running_loop()

        def keep() -> None:
            if commit is not None:
                asyncio.run_coroutine_threadsafe(commit(), loop).result()

        update = partial(self._recommender.update, put=put, remove=remove, codes=codes, commit=keep)
        return await loop.run_in_executor(self._changer, update)

    async def close(self) -> None:
        """Wait for the last search and the last change."""
        await asyncio.to_thread(self._searcher.shutdown)
        await asyncio.to_thread(self._changer.shutdown)

    async def _in_turn(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call something when the searches before are done."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._searcher, partial(call, *args, **kwargs))

    def _search(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer queries of one domain with equal options."""
        options, domain = queries[0].options, queries[0].domain
        recommender = self._recommender if domain is None else self._further[domain]
        filters = [query.filters for query in queries]
        size = len(queries)
        if queries[0].words is not None:
            words = [query.words or "" for query in queries]
            return recommender.search(
                words,
                options.k,
                filters=filters,
                batch_size=size,
                sampling=options.sampling,
                max_per=options.max_per,
            )
        return recommender.recommend(
            [query.history for query in queries],
            options.k,
            exclude_seen=False,
            filters=filters,
            batch_size=size,
            sampling=options.sampling,
            max_per=options.max_per,
            exposure=options.exposure,
        )

    def _reply(self, queries: Sequence[ReplyQuery]) -> list[Reply]:
        """Reply to dialogues with equal options."""
        options = queries[0].options
        return self._recommender.reply(
            [query.turns for query in queries],
            [query.history for query in queries],
            ignore=[query.ignore for query in queries],
            filters=[query.filters for query in queries],
            items=options.items,
            max_tokens=options.max_tokens,
            temperature=options.temperature,
            seed=options.seed,
            batch_size=len(queries),
        )

"""The seam between the server and what runs the model."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from rec_gen.answers import Answer
from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog, Item
from rec_gen.decoding.sampling import Sampling
from rec_gen.errors import RecGenError
from rec_gen.index import Filters
from rec_gen.recommender import Recommender
from rec_gen.remote import RemoteRecommender
from rec_gen.respelling import Codes
from serving.halving import answer_each

Commit = Callable[[], Coroutine[Any, Any, None]]
"""Keeps a change that is known to fit, before any request sees it."""


@dataclass(frozen=True)
class Options:
    """What requests must have in common to be searched together.

    Attributes:
        k: Items of an answer.
        sampling: Draw the items instead of taking the likeliest.
        max_per: A column, and how many items of each of its values an answer may have.
    """

    k: int = 10
    sampling: Sampling | None = None
    max_per: tuple[str, int] | None = None


@dataclass(frozen=True)
class Query:
    """One request, as an engine sees it.

    Attributes:
        history: Item ids of the catalog, oldest first.
        words: A request in words, which is answered instead where it is given.
        filters: What may be returned; what was seen is blocked there.
        options: What else was asked for.
        adapter: The adapter that answers, one of the engine's models.
    """

    history: tuple[str, ...] = ()
    words: str | None = None
    filters: Filters = field(default_factory=Filters)
    options: Options = field(default_factory=Options)
    adapter: str | None = None


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
        """The items as they are now, with the removed ones."""

    @property
    def version(self) -> int:
        """How often the catalog was changed since the engine started."""

    @property
    def up(self) -> bool:
        """Whether it answers; all calls raise `EngineDownError` where it does not."""

    async def answer(self, queries: Sequence[Query]) -> list[Answer | RecGenError]:
        """Answer a batch; what one query did wrong stands in its place and harms no other."""

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
    """Has a recommender search, one batch after the other, in a thread of their own."""

    def __init__(self, recommender: Recommender | RemoteRecommender) -> None:
        manifest = recommender.bundle.manifest
        self.name = manifest.name
        self.models: tuple[str, ...] = (manifest.name,)
        self.template = manifest.prompt.template
        self.tasks = learnt_tasks(recommender.bundle)
        self._recommender = recommender
        self._searcher = ThreadPoolExecutor(1, "search")
        self._changer = ThreadPoolExecutor(1, "catalog")

    @property
    def catalog(self) -> Catalog:
        """The items as they are now, with the removed ones."""
        return self._recommender.catalog

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
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._searcher, self._answer, queries)

    async def explain(self, history: Sequence[str], items: Sequence[str]) -> list[str | None]:
        """Explain the items of one answer, when the searches before are done."""
        loop = asyncio.get_running_loop()
        explain = partial(self._recommender.explain, history, items)
        return await loop.run_in_executor(self._searcher, explain)

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

    def _answer(self, queries: Sequence[Query]) -> list[Answer | RecGenError]:
        alike: Mapping[tuple[bool, Options], list[int]] = defaultdict(list)
        for place, query in enumerate(queries):
            alike[query.words is not None, query.options].append(place)
        answers: dict[int, Answer | RecGenError] = {}
        for places in alike.values():
            found = answer_each(self._search, [queries[place] for place in places])
            answers.update(zip(places, found, strict=True))
        return [answers[place] for place in range(len(queries))]

    def _search(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer queries with equal options."""
        options = queries[0].options
        filters = [query.filters for query in queries]
        size = len(queries)
        if queries[0].words is not None:
            words = [query.words or "" for query in queries]
            return self._recommender.search(words, options.k, filters=filters, batch_size=size)
        return self._recommender.recommend(
            [query.history for query in queries],
            options.k,
            exclude_seen=False,
            filters=filters,
            batch_size=size,
            sampling=options.sampling,
            max_per=options.max_per,
        )

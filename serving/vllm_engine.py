"""An engine on vLLM: the model of a bundle, and adapters on top of it."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rec_gen.answers import Answer
from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog, Item
from rec_gen.decoding.vllm_runtime import VLLMRuntime
from rec_gen.errors import MissingPackageError, ModelError, RecGenError
from rec_gen.live_bundle import LiveBundle
from rec_gen.mixed import recommenders_of
from rec_gen.names import Names
from rec_gen.remote import RemoteRecommender, found, remote_domains
from rec_gen.replying import Reply
from rec_gen.respelling import Codes
from rec_gen.vllm_worker import engine_options
from serving.engine import Commit, RecommenderEngine
from serving.errors import EngineDownError
from serving.queries import Query, ReplyQuery

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

Q = TypeVar("Q", Query, ReplyQuery)
A = TypeVar("A", Answer, Reply)
WATCH_SECONDS = 0.2
DYING_SECONDS = 5.0


class VLLMEngine:
    """Answers by a search inside vLLM's worker; an adapter's by a search on top of the engine.

    Other requests may use the same vLLM beside it.

    Attributes:
        name: The model's name.
        models: All names that a request may ask for: the model's own and those of its adapters.
        template: The name of the prompt's template.
        tasks: The tasks that the model has learnt.
        llm: vLLM itself.
    """

    def __init__(self, life: "_Life", engines: Mapping[str, RecommenderEngine]) -> None:
        self.llm, self._life, self._engines = life.llm, life, engines
        self._first = next(iter(engines.values()))
        self.name, self.template = self._first.name, self._first.template
        self.models, self.tasks = tuple(engines), self._first.tasks

    @classmethod
    async def start(
        cls, path: Path, adapters: Mapping[str, Path] | None = None, **options: Any
    ) -> "VLLMEngine":
        """Start vLLM with a bundle's model.

        Args:
            path: A bundle with a whole model.
            adapters: Folders of LoRA adapters of this model by the name that requests ask for. They
                write the same items after the same prompts; none has rows for new tokens.
            options: Of `vllm.AsyncEngineArgs`, in the place of those that are set here.

        Raises:
            BundleError: The bundle is incomplete, was changed, or holds an adapter itself.
            ModelError: vLLM holds another model, or an adapter has the model's name.
            MissingPackageError: vLLM is not installed.
        """
        try:
            from vllm import AsyncEngineArgs
            from vllm.lora.request import LoRARequest
            from vllm.v1.engine.async_llm import AsyncLLM
        except ImportError as error:
            raise MissingPackageError("vllm", "vllm") from error

        adapters = adapters or {}
        bundle = await asyncio.to_thread(Bundle.load, path, weights=False)
        name = bundle.manifest.name
        if name in adapters:
            raise ModelError(f"adapter '{name}': this is the model's own name: give it another")
        told = {
            **engine_options(path, bundle.manifest),
            "enable_lora": bool(adapters),
            # without room for one more, vLLM lets an adapter answer for the model in mixed batches
            "max_loras": len(adapters) + 1,
            **options,
        }
        # it waits for its engine, while the server may have others to answer
        llm = await asyncio.to_thread(AsyncLLM.from_engine_args, AsyncEngineArgs(**told))
        loop, life = asyncio.get_running_loop(), _Life(llm)

        def call(
            method: str,
            arguments: list[Any],
            options: dict[str, Any],
            *,
            domain: str | None = None,
        ) -> Any:
            asked = life.call(method, arguments, options, domain)
            return asyncio.run_coroutine_threadsafe(asked, loop).result()

        try:
            found(await life.call("load", [str(path)], {}))
            first = RemoteRecommender(bundle, call)
            engines = {name: RecommenderEngine(first, remote_domains(bundle, call))}
            for number, (adapter, folder) in enumerate(adapters.items(), 1):
                runtime = VLLMRuntime.online(llm, loop, LoRARequest(adapter, number, str(folder)))
                own = recommenders_of(bundle, runtime)
                engines[adapter] = RecommenderEngine(own.pop(bundle.manifest.dataset), own)
        except BaseException:
            life.end()
            raise
        return cls(life, engines)

    @property
    def catalog(self) -> Catalog:
        """The items as they are now, with the removed ones."""
        return self._first.catalog

    @property
    def domains(self) -> Mapping[str, LiveBundle]:
        """All catalogs as they are now, the first one first."""
        return self._first.domains

    @property
    def names(self) -> Names:
        """The names of the items as they are now."""
        return self._first.names

    @property
    def version(self) -> int:
        """How often the catalog was changed since the engine started."""
        return self._first.version

    @property
    def up(self) -> bool:
        """Whether vLLM's engine lives."""
        return not (self.llm.errored or self._life.down.is_set())

    async def answer(self, queries: Sequence[Query]) -> list[Answer | RecGenError]:
        """Answer a batch, those of each model together."""
        return await self._by_model(queries, lambda engine, own: engine.answer(own))

    async def reply(self, queries: Sequence[ReplyQuery]) -> list[Reply | RecGenError]:
        """Reply to a batch, those of each model together."""
        return await self._by_model(queries, lambda engine, own: engine.reply(own))

    async def explain(self, history: Sequence[str], items: Sequence[str]) -> list[str | None]:
        """Explain the items of one answer by the model itself."""
        return await self._first.explain(history, items)

    async def update(
        self, put: Iterable[Item], remove: Iterable[str], codes: Codes, commit: Commit | None = None
    ) -> int:
        """Change the catalog of all models, that of the first one first."""
        put, remove = list(put), list(remove)
        version = await self._first.update(put, remove, codes, commit)
        for engine in self._engines.values():
            if engine is not self._first:
                await engine.update(put, remove, codes)
        return version

    async def _by_model(
        self,
        queries: Sequence[Q],
        ask: Callable[[RecommenderEngine, Sequence[Q]], Awaitable[list[A | RecGenError]]],
    ) -> list[A | RecGenError]:
        asked: defaultdict[str, list[int]] = defaultdict(list)
        for place, query in enumerate(queries):
            asked[query.adapter or self.name].append(place)
        answers: dict[int, A | RecGenError] = {}

        async def ask_one(model: str, places: list[int]) -> None:
            if model not in self._engines:
                known = ", ".join(self.models)
                error = ModelError(f"model '{model}' is not served; the models are: {known}")
                answers.update(dict.fromkeys(places, error))
                return
            own = await ask(self._engines[model], [queries[place] for place in places])
            answers.update(zip(places, own, strict=True))

        try:
            await asyncio.gather(*(ask_one(model, places) for model, places in asked.items()))
        except Exception as error:
            if not self.up:
                raise EngineDownError from error
            raise
        return [answers[place] for place in range(len(queries))]

    async def wait_until_down(self) -> None:
        """Return once vLLM's engine has ended."""
        await self._life.down.wait()

    def kill(self) -> None:
        """Let go of vLLM's engine at once."""
        self._life.down.set()

    async def close(self) -> None:
        """Wait for what runs, and end vLLM."""
        for engine in self._engines.values():
            await engine.close()
        self._life.end()


class _Life:
    """Notices when vLLM's engine ends: vLLM itself leaves a call to the worker waiting then."""

    def __init__(self, llm: "AsyncLLM") -> None:
        self.llm, self.down = llm, asyncio.Event()
        self._watching = asyncio.create_task(self._watch())

    async def call(
        self,
        method: str,
        arguments: list[Any],
        options: dict[str, Any],
        domain: str | None = None,
    ) -> Any:
        """What `SearchWorker.recgen_call` returns.

        Raises:
            EngineDownError: The engine has ended.
        """
        asked = self.llm.collective_rpc("recgen_call", args=(method, arguments, options, domain))
        answering = asyncio.ensure_future(asked)
        ending = asyncio.create_task(self.down.wait())
        try:
            await asyncio.wait({answering, ending}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done() and answering.exception():  # its worker may have died before it
                await asyncio.wait({ending}, timeout=DYING_SECONDS)
            if not answering.done() or (answering.exception() and ending.done()):
                raise EngineDownError
            return answering.result()[0]
        finally:
            answering.cancel()
            ending.cancel()

    def end(self) -> None:
        """End vLLM."""
        self._watching.cancel()
        self.llm.shutdown()

    async def _watch(self) -> None:
        while not self.llm.errored:
            await asyncio.sleep(WATCH_SECONDS)
        self.down.set()

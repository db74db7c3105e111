"""An engine on vLLM: the model of a bundle, and adapters on top of it."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rec_gen.answers import Answer
from rec_gen.bundle import MODEL, TOKENIZER, Bundle
from rec_gen.catalog import Catalog, Item
from rec_gen.decoding.vllm_runtime import VLLMRuntime
from rec_gen.errors import BundleError, MissingPackageError, ModelError, RecGenError
from rec_gen.recommender import Recommender
from rec_gen.respelling import Codes
from rec_gen.vllm_worker import EXTENSION, InsideRecommender, found
from serving.engine import Commit, Query, TransformersEngine

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

BLOCK = 32
"""Tokens of a block of keys and values: vLLM knows whole blocks again, and CPUs want this many."""


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

    def __init__(self, llm: "AsyncLLM", recommenders: Mapping[str, Recommender]) -> None:
        self.llm = llm
        self._engines = {name: TransformersEngine(one) for name, one in recommenders.items()}
        self._first = next(iter(self._engines.values()))
        self.name, self.template = self._first.name, self._first.template
        self.models, self.tasks = tuple(recommenders), self._first.tasks

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
        if bundle.manifest.base is not None:
            raise BundleError(f"{path}: holds an adapter: recgen compress merges it for vLLM")
        if name in adapters:
            raise ModelError(f"adapter '{name}': this is the model's own name: give it another")
        told = {
            "model": str(path / MODEL),
            "tokenizer": str(path / TOKENIZER),
            "dtype": bundle.manifest.dtype,
            "block_size": BLOCK,
            "worker_extension_cls": EXTENSION,
            "enable_lora": bool(adapters),
            # without room for one more, vLLM lets an adapter answer for the model in mixed batches
            "max_loras": len(adapters) + 1,
            **options,
        }
        llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**told))
        loop = asyncio.get_running_loop()

        def call(method: str, arguments: list[Any], options: dict[str, Any]) -> Any:
            asked = llm.collective_rpc("recgen_call", args=(method, arguments, options))
            return asyncio.run_coroutine_threadsafe(asked, loop).result()[0]

        try:
            found((await llm.collective_rpc("recgen_call", args=("load", [str(path)], {})))[0])
            recommenders: dict[str, Recommender] = {
                name: InsideRecommender(bundle, VLLMRuntime.online(llm, loop), call)
            }
            for number, (adapter, folder) in enumerate(adapters.items(), 1):
                lora = LoRARequest(adapter, number, str(folder))
                recommenders[adapter] = Recommender(bundle, VLLMRuntime.online(llm, loop, lora))
        except BaseException:
            llm.shutdown()
            raise
        return cls(llm, recommenders)

    @property
    def catalog(self) -> Catalog:
        """The items as they are now, with the removed ones."""
        return self._first.catalog

    @property
    def version(self) -> int:
        """How often the catalog was changed since the engine started."""
        return self._first.version

    async def answer(self, queries: Sequence[Query]) -> list[Answer | RecGenError]:
        """Answer a batch, those of each model together."""
        asked: defaultdict[str, list[int]] = defaultdict(list)
        for place, query in enumerate(queries):
            asked[query.adapter or self.name].append(place)
        answers: dict[int, Answer | RecGenError] = {}

        async def ask(model: str, places: list[int]) -> None:
            if model not in self._engines:
                known = ", ".join(self.models)
                error = ModelError(f"model '{model}' is not served; the models are: {known}")
                answers.update(dict.fromkeys(places, error))
                return
            own = await self._engines[model].answer([queries[place] for place in places])
            answers.update(zip(places, own, strict=True))

        await asyncio.gather(*(ask(model, places) for model, places in asked.items()))
        return [answers[place] for place in range(len(queries))]

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

    async def close(self) -> None:
        """Wait for what runs, and end vLLM."""
        for engine in self._engines.values():
            await engine.close()
        self.llm.shutdown()

"""rec_gen's search inside vLLM's worker: start vLLM with `worker_extension_cls=EXTENSION`.

What goes between the processes are plain values alone, as vLLM sends nothing else.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from rec_gen import errors
from rec_gen.answers import Answer, Recommendation
from rec_gen.bundle import MODEL, Bundle
from rec_gen.catalog import Item
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.sampling import Sampling
from rec_gen.index import Filters
from rec_gen.recommender import Recommender
from rec_gen.respelling import Codes
from rec_gen.shared_weights import shared_model

EXTENSION = "rec_gen.vllm_worker.SearchWorker"

Call = Callable[[str, list[Any], dict[str, Any]], Any]
"""Sends the name of a method, its arguments and its options to `SearchWorker.recgen_call`."""


class SearchWorker:
    """Methods that vLLM's worker inherits."""

    def recgen_load(self, path: str) -> bool:
        """Load a bundle.

        Args:
            path: The bundle of the model that the engine serves.

        Returns:
            Whether its weights are those that vLLM holds. Where vLLM has packed them for a CPU, the
            bundle's own are loaded beside.

        Raises:
            BundleError: The bundle is incomplete or was changed.
            ModelError: The engine serves another model.
        """
        folder, worker = Path(path), _worker(self)
        bundle, model = Bundle.load(folder, weights=False), None
        if bundle.manifest.base is None and not bundle.manifest.quantized:
            model = shared_model(folder / MODEL, bundle.manifest.dtype, worker.get_model())
        if model is None:
            logging.getLogger(__name__).warning(
                "%s: vLLM keeps its weights in another form: a copy is loaded", path
            )
            bundle = Bundle.load(folder)
            bundle.model.to(worker.device)
        else:
            bundle = replace(bundle, model=model)
        worker.recgen_recommender = Recommender(bundle)
        return model is not None

    def recgen_call(
        self, method: str, arguments: list[Any], options: dict[str, Any]
    ) -> dict[str, Any]:
        """Load, as `recgen_load` does; or recommend, search, explain or update, as `Recommender`.

        Returns:
            What `found` reads.
        """
        try:
            if method == "load":
                return {"found": self.recgen_load(*arguments)}
            recommender: Recommender = _worker(self).recgen_recommender
            if method == "update":
                put, remove, codes = arguments
                items = [Item(*each) for each in put]
                return {"found": recommender.update(put=items, remove=remove, codes=codes)}
            if method == "explain":
                return {"found": recommender.explain(*arguments)}
            searches: dict[str, Callable[..., list[Answer]]] = {
                "recommend": recommender.recommend,
                "search": recommender.search,
            }
            answers = searches[method](*arguments, **_typed(options))
            return {"found": [_told(answer) for answer in answers]}
        except errors.RecGenError as error:
            return {"error": [type(error).__name__, str(error), vars(error)]}


class InsideRecommender(Recommender):
    """A recommender whose lists and reasons are found inside a vLLM worker.

    Args:
        bundle: The bundle that the worker has loaded, without its weights.
        runtime: For what the worker is not asked: the engine itself.
        call: Reaches the worker.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime, call: Call) -> None:
        super().__init__(bundle, runtime)
        self._call = call

    def recommend(
        self, histories: Sequence[Sequence[str]], k: int = 10, **options: Any
    ) -> list[Answer]:
        """As `Recommender.recommend` does."""
        return self._ask("recommend", [list(map(list, histories)), k], options)

    def search(self, requests: Sequence[str], k: int = 10, **options: Any) -> list[Answer]:
        """As `Recommender.search` does."""
        return self._ask("search", [list(requests), k], options)

    def explain(
        self, history: Sequence[str], items: Sequence[str], *, batch_size: int = 32
    ) -> list[str | None]:
        """As `Recommender.explain` does."""
        said: list[str | None] = self._found("explain", [list(history), list(items)], {})
        return said

    def update(
        self,
        *,
        put: Iterable[Item] = (),
        remove: Iterable[str] = (),
        codes: Codes | None = None,
        commit: Callable[[], object] | None = None,
    ) -> int:
        """As `Recommender.update` does, in the worker too."""
        put, remove = list(put), list(remove)
        items = [[item.id, item.title, dict(item.fields)] for item in put]
        own = {item: list(each) for item, each in (codes or {}).items()}

        def both() -> None:
            if commit is not None:
                commit()
            self._found("update", [items, remove, own], {})

        return super().update(put=put, remove=remove, codes=codes, commit=both)

    def _ask(self, method: str, arguments: list[Any], options: dict[str, Any]) -> list[Answer]:
        rows = self._found(method, arguments, _plain(options))
        if any(row["version"] > self.version for row in rows):
            with self._changing:  # the worker knows a change that is about to be known here
                pass
        catalog = self.catalog
        answers = []
        for row in rows:
            items = (catalog[catalog.position(item)] for item in row.pop("items"))
            pairs = zip(items, row.pop("scores"), strict=True)
            answers.append(Answer(tuple(Recommendation(*pair) for pair in pairs), **row))
        return answers

    def _found(self, method: str, arguments: list[Any], options: dict[str, Any]) -> Any:
        return found(self._call(method, arguments, options))


def found(said: Mapping[str, Any]) -> Any:
    """What a worker found, out of what it said.

    Raises:
        RecGenError: The worker refused.
    """
    if "error" not in said:
        return said["found"]
    kind, message, told = said["error"]
    known: type[errors.RecGenError] = getattr(errors, kind)
    error = known.__new__(known)
    error.args = (message,)
    vars(error).update(told)
    raise error


def _worker(extension: SearchWorker) -> Any:
    """The worker that inherits the extension, and whose methods it may use."""
    return extension


def _told(answer: Answer) -> dict[str, Any]:
    return {
        "items": [one.item.id for one in answer],
        "scores": [one.score for one in answer],
        "certified": answer.certified,
        "version": answer.version,
        "prompt_tokens": answer.prompt_tokens,
        "answer_tokens": answer.answer_tokens,
    }


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without types of our own."""
    plain = dict(options)
    if plain.get("filters") is not None:
        plain["filters"] = [
            [list(one.block), None if one.allow is None else list(one.allow), one.where]
            for one in plain["filters"]
        ]
    if plain.get("sampling") is not None:
        plain["sampling"] = list(astuple(plain["sampling"]))
    return plain


def _typed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as they were before `_plain`."""
    typed = dict(options)
    if typed.get("filters") is not None:
        typed["filters"] = [Filters(*each) for each in typed["filters"]]
    if typed.get("sampling") is not None:
        typed["sampling"] = Sampling(*typed["sampling"])
    return typed

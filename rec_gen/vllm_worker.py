"""rec_gen's search inside vLLM's worker: start vLLM with `worker_extension_cls=EXTENSION`."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from rec_gen.bundle import MODEL, TOKENIZER, Bundle
from rec_gen.errors import BundleError, RecGenError
from rec_gen.manifest import Manifest
from rec_gen.mixed import recommenders_of
from rec_gen.remote import answer_call, refusal
from rec_gen.shared_weights import shared_model

EXTENSION = "rec_gen.vllm_worker.SearchWorker"
BLOCK = 32
"""Tokens of a block of keys and values: vLLM knows whole blocks again, and CPUs want this many."""


def engine_options(path: Path, manifest: Manifest) -> dict[str, Any]:
    """What vLLM is started with to hold a bundle's model and this search.

    Args:
        path: A bundle with a whole model.
        manifest: What it says of itself.

    Raises:
        BundleError: The bundle holds an adapter, or its prompts show images.
    """
    if manifest.base is not None:
        raise BundleError(f"{path}: holds an adapter: recgen compress merges it for vLLM")
    if manifest.prompt.images is not None:
        raise BundleError(f"{path}: its prompts show images: serve it by transformers")
    return {
        "model": str(path / MODEL),
        "tokenizer": str(path / TOKENIZER),
        "dtype": manifest.dtype,
        "block_size": BLOCK,
        "worker_extension_cls": EXTENSION,
    }


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
        worker.recgen_recommenders = recommenders_of(bundle)
        return model is not None

    def recgen_call(
        self,
        method: str,
        arguments: list[Any],
        options: dict[str, Any],
        domain: str | None = None,
    ) -> dict[str, Any]:
        """Load, as `recgen_load` does, or what `answer_call` does.

        Returns:
            What `found` reads.
        """
        try:
            if method == "load":
                return {"found": self.recgen_load(*arguments)}
        except RecGenError as error:
            return refusal(error)
        recommenders = _worker(self).recgen_recommenders
        return answer_call(recommenders, method, arguments, options, domain)


def _worker(extension: SearchWorker) -> Any:
    """The worker that inherits the extension, and whose methods it may use."""
    return extension

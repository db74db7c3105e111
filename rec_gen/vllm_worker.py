"""rec_gen's search inside vLLM's worker: start vLLM with `worker_extension_cls=EXTENSION`."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from rec_gen.bundle import MODEL, Bundle
from rec_gen.errors import RecGenError
from rec_gen.recommender import Recommender
from rec_gen.remote import answer_call, refusal
from rec_gen.shared_weights import shared_model

EXTENSION = "rec_gen.vllm_worker.SearchWorker"


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
        """Load, as `recgen_load` does, or what `answer_call` does.

        Returns:
            What `found` reads.
        """
        try:
            if method == "load":
                return {"found": self.recgen_load(*arguments)}
        except RecGenError as error:
            return refusal(error)
        return answer_call(_worker(self).recgen_recommender, method, arguments, options)


def _worker(extension: SearchWorker) -> Any:
    """The worker that inherits the extension, and whose methods it may use."""
    return extension

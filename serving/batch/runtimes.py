"""What runs the model of a job."""

from typing import Any

from rec_gen.bundle import Bundle
from rec_gen.errors import MissingPackageError, ModelError, first_line
from rec_gen.recommender import Recommender
from rec_gen.remote import RemoteRecommender, found
from rec_gen.vllm_worker import engine_options
from serving.batch.config import BatchConfig


def load_recommender(config: BatchConfig) -> Recommender | RemoteRecommender:
    """Load a bundle into transformers, or start vLLM with it and search inside its worker.

    Raises:
        BundleError: The bundle is incomplete, was changed, has no such domain, or, for vLLM, holds
            an adapter.
        ModelError: vLLM holds another model or cannot start, or torch cannot use the device.
        MissingPackageError: vLLM is not installed.
    """
    if config.runtime == "transformers":
        return Recommender.load(config.bundle, device=config.device, domain=config.domain)
    try:
        from vllm import LLM
    except ImportError as error:
        raise MissingPackageError("vllm", "vllm") from error
    bundle = Bundle.load(config.bundle, weights=False)
    asked = bundle if config.domain is None else bundle.domain(config.domain)
    try:
        llm = LLM(**(engine_options(config.bundle, bundle.manifest) | config.vllm))
    except (RuntimeError, ValueError, TypeError) as error:
        raise ModelError(f"{config.bundle}: vLLM cannot start: {first_line(error)}") from error

    def call(
        method: str, arguments: list[Any], options: dict[str, Any], *, domain: str | None = None
    ) -> Any:
        return llm.collective_rpc("recgen_call", args=(method, arguments, options, domain))[0]

    found(call("load", [str(config.bundle)], {}))
    return RemoteRecommender(asked, call, config.domain)

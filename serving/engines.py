"""Which engine a configuration asks for."""

from rec_gen.errors import BundleError, ModelError
from rec_gen.manifest import read_manifest
from serving.config import ServeConfig
from serving.engine import MortalEngine
from serving.errors import EngineDownError
from serving.process_engine import ProcessEngine
from serving.restarting import RestartingEngine


async def start_engine(config: ServeConfig) -> RestartingEngine:
    """Start what runs the model, and start it again whenever it goes down.

    Raises:
        RecGenError: The bundle cannot be used, or the engine went down while it started.
    """
    manifest = read_manifest(config.bundle)

    async def start() -> MortalEngine:
        if read_manifest(config.bundle) != manifest:
            raise BundleError(f"{config.bundle}: was replaced: start the server again to serve it")
        if config.runtime == "vllm":
            from serving.vllm_engine import VLLMEngine

            return await VLLMEngine.start(config.bundle, config.adapters, **config.vllm)
        return await ProcessEngine.start(config.bundle, config.device, config.log_level)

    try:
        return RestartingEngine(await start(), start)
    except EngineDownError:
        raise ModelError(
            f"{config.bundle}: the process of the model ended while it loaded: is there enough "
            "memory?"
        ) from None

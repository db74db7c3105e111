"""An engine on transformers, in a process of its own."""

import asyncio
from pathlib import Path

from rec_gen.bundle import Bundle
from rec_gen.errors import BundleError
from rec_gen.remote import RemoteRecommender, remote_domains
from serving.engine import RecommenderEngine
from serving.worker_process import CLOSE_SECONDS, WorkerProcess


class ProcessEngine(RecommenderEngine):
    """Has the recommender of another process search; the catalog is known in both."""

    def __init__(self, bundle: Bundle, process: WorkerProcess) -> None:
        first = RemoteRecommender(bundle, process.call)
        super().__init__(first, remote_domains(bundle, process.call))
        self._process = process

    @classmethod
    async def start(
        cls, path: Path, device: str | None = None, log_level: str = "info"
    ) -> "ProcessEngine":
        """Load a bundle in a new process.

        Args:
            path: The bundle's folder.
            device: Where the model runs; CUDA if there is one.
            log_level: What the process logs.

        Raises:
            RecGenError: The bundle cannot be used.
            EngineDownError: The process ended while it loaded the bundle.
        """
        process = WorkerProcess(path, device, log_level)
        try:
            reading = asyncio.to_thread(Bundle.load, path, weights=False)
            bundle, digest = await asyncio.gather(
                reading, asyncio.to_thread(process.wait_until_loaded)
            )
            if digest != bundle.manifest.digest:
                raise BundleError(f"{path}: was replaced while it was loaded: start again")
        except BaseException:
            process.kill()
            process.close()
            raise
        return cls(bundle, process)

    @property
    def up(self) -> bool:
        """Whether the process lives."""
        return not self._process.ended.done()

    async def wait_until_down(self) -> None:
        """Return once the process has ended."""
        await asyncio.shield(asyncio.wrap_future(self._process.ended))

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    async def close(self) -> None:
        """Wait a while for the last search and the last change, and end the process."""
        late = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._process.kill)
        await super().close()
        late.cancel()
        await asyncio.to_thread(self._process.close)

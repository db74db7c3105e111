"""A worker in a process of its own: what it did or could not do is told in plain values."""

import logging
from dataclasses import asdict
from typing import Any

from rec_gen.errors import ModelError, RecGenError, first_line
from rec_gen.remote import refusal
from serving.batch.config import BatchConfig
from serving.batch.input import Users
from serving.batch.parts import Part
from serving.batch.work import Worker

logger = logging.getLogger(__name__)


class PartWorker:
    """Loads the bundle once; a bundle that cannot be loaded is told with the first part."""

    def __init__(self, config: BatchConfig, users: Users, digest: str) -> None:
        self._refusal: dict[str, Any] | None = None
        try:
            self._worker = Worker.load(config, users, digest)
        except RecGenError as error:  # a pool of processes would try again, or break
            self._refusal = refusal(error)
        except Exception as error:
            logger.exception("the bundle cannot be loaded")
            self._refusal = refusal(ModelError(f"{config.bundle}: {first_line(error)}"))

    def do(self, part: Part) -> dict[str, Any]:
        """Do a part; what `rec_gen.remote.found` reads, the fields of a `Done`."""
        if self._refusal:
            return self._refusal
        try:
            return {"found": asdict(self._worker.do(part))}
        except RecGenError as error:
            return refusal(error)

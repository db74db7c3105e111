"""Where the time of an engine that runs in this process goes."""

import time
from collections.abc import Callable
from typing import Any

PARTS = ("requests", "scheduler", "batch", "model", "sampler", "answers", "search")


class EngineClock:
    """The seconds in the parts of a `vllm.LLM`, whose functions it wraps for good.

    Attributes:
        requests: How many were made.
        steps: How often the engine ran its model.
    """

    def __init__(self, llm: Any) -> None:
        self._spent: dict[str, float] = {}
        self.requests = self.steps = 0
        engine = llm.llm_engine
        (runner,) = llm.collective_rpc(lambda worker: worker.model_runner)
        self._wrap(engine, "add_request", "taking")
        self._wrap(engine, "step", "stepping")
        self._wrap(engine.output_processor, "process_outputs", "answers")
        self._wrap(runner, "execute_model", "running")
        self._wrap(runner, "sample_tokens", "choosing")
        self._wrap(runner.model, "forward", "model")
        self._wrap(runner.sampler, "forward", "sampler")

    def measure(self, run: Callable[[], object]) -> dict[str, float]:
        """Run; gives the seconds in each of the parts.

        `requests` is taking them in, `scheduler` choosing what runs, `batch` building tensors and
        reading the head, `model` the layers, `sampler` masks and log-probabilities, `answers`
        turning them into objects, and `search` all outside of the engine.
        """
        self._spent = dict.fromkeys(self._spent, 0.0)
        self.requests = self.steps = 0
        start = time.perf_counter()
        run()
        total, spent = time.perf_counter() - start, self._spent
        inside = spent["running"] + spent["choosing"]
        parts = (
            spent["taking"],
            spent["stepping"] - inside - spent["answers"],
            inside - spent["model"] - spent["sampler"],
            spent["model"],
            spent["sampler"],
            spent["answers"],
            total - spent["taking"] - spent["stepping"],
        )
        return dict(zip(PARTS, parts, strict=True))

    def _wrap(self, owner: Any, method: str, part: str) -> None:
        inner = getattr(owner, method)
        self._spent.setdefault(part, 0.0)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                self._spent[part] += time.perf_counter() - start
                self.requests += part == "taking"
                self.steps += part == "model"

        setattr(owner, method, timed)

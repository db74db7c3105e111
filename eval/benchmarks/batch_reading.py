"""What a batch job cannot do without: the model reading its prompts, in the same batches."""

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch

from rec_gen.batches import like_batches
from rec_gen.recommender import Recommender

K = 10
"""Items of an answer, and prefixes that go on: a beam no wider than the answers is the cheapest."""


@dataclass(frozen=True)
class Reading:
    """What it takes to read prompts, and what a search reads beside them.

    Attributes:
        users: Whose prompts were read.
        seconds: What reading them took.
        cpu_seconds: The same of all threads.
        rendering_seconds: What rendering them took before.
        prompt_tokens: A user, on average.
        read_over_prompt: What a search reads, prompts included, over the tokens of its prompts; a
            beginning that a batch shares is read once.
        forwards: Readings of a batch, on average.
        parameters: Of the model.
    """

    users: int
    seconds: float
    cpu_seconds: float
    rendering_seconds: float
    prompt_tokens: float
    read_over_prompt: float
    forwards: float
    parameters: int


def read_prompts(
    path: Path,
    users: Path,
    part_rows: int,
    batch_size: int,
    sampled: int,
    counted: int,
    share: int,
    shares: int,
) -> Reading:
    """Read the prompts of some parts of a job, which lie evenly over it.

    Several processes that do so at once each have their share of the cores.

    Args:
        path: The bundle.
        users: The table of users.
        part_rows: Users of a part.
        batch_size: Users of a batch.
        sampled: Parts that are read.
        counted: Batches that are also searched, to count what that reads.
        share: Which of the processes this is.
        shares: How many there are.
    """
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // shares))
    recommender = Recommender.load(path, device="cpu")
    bundle, runtime = recommender.bundle, recommender._runtime
    renderer, spelled = bundle.renderer(), bundle.spellings.tokens
    frame = pl.read_parquet(users)
    parts = list(range(0, frame.height, part_rows))[share::shares]
    read, tokens, seconds, cpu, rendering = 0, 0, 0.0, 0.0, 0.0
    found = Counter(bundle.model)
    for start in parts[:: max(len(parts) // sampled, 1)]:
        histories = frame["history"][start : start + part_rows].to_list()
        shown = [history[-bundle.manifest.prompt.max_history :] for history in histories]
        sizes = [1 + sum(len(spelled[item]) for item in each) for each in shown]
        for number, batch in enumerate(like_batches(sizes, shown, batch_size)):
            began = time.monotonic()
            prompts = [renderer.render(histories[place]).ids for place in batch]
            rendering += time.monotonic() - began
            began, spent = time.monotonic(), time.process_time()
            runtime.read(prompts)
            seconds += time.monotonic() - began
            cpu += time.process_time() - spent
            read += len(batch)
            tokens += sum(map(len, prompts))
            if number % 4 == 0 and found.searches < counted:
                with found:
                    asked = [list(map(str, histories[place])) for place in batch]
                    recommender.recommend(asked, K, beam_width=K, batch_size=len(batch))
                found.prompt_tokens += sum(map(len, prompts))
    parameters = sum(weights.numel() for weights in bundle.model.parameters())
    return Reading(
        read,
        seconds,
        cpu,
        rendering,
        tokens / read,
        found.tokens / found.prompt_tokens,
        found.forwards / found.searches,
        parameters,
    )


class Counter:
    """Counts what a model reads while it is entered."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.forwards = self.tokens = self.searches = self.prompt_tokens = 0
        self._backbone: Any = model.base_model

    def __enter__(self) -> None:
        self.searches += 1
        self._hook = self._backbone.register_forward_pre_hook(self._count, with_kwargs=True)

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _count(self, module: object, arguments: object, options: dict[str, Any]) -> None:
        self.forwards += 1
        self.tokens += options["input_ids"].numel()


if __name__ == "__main__":
    path, users, *numbers = sys.argv[1:]
    print(json.dumps(asdict(read_prompts(Path(path), Path(users), *map(int, numbers)))))

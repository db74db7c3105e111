"""The processes that `accelerate launch` starts to train one model together; otherwise just one."""

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar, cast

import torch
from torch import distributed

from rec_gen.errors import ConfigError
from rec_gen.models import Dtype

Task = TypeVar("Task")
Result = TypeVar("Result")

_LONGEST_WAIT = timedelta(hours=4)
_LARGEST_STAGE = 2


def join(dtype: Dtype) -> None:
    """Meet the other processes, if `accelerate launch` started any; a second call does nothing.

    Args:
        dtype: The type of the weights that they will train.

    Raises:
        ConfigError: They are meant to share the weights themselves, or cannot train this type.
    """
    _refuse_shared_weights()
    if shards_states() and dtype != "float32" and not torch.cuda.is_available():
        raise ConfigError(f"model.dtype: DeepSpeed on CPUs trains 'float32', not {dtype!r}")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        from accelerate import PartialState

        cpu = not torch.cuda.is_available()
        backend = {"backend": "gloo"} if cpu else {}
        PartialState(cpu=cpu and not shards_states(), timeout=_LONGEST_WAIT, **backend)


def shards_states() -> bool:
    """Whether DeepSpeed leaves each process a part of gradients and optimizer states (ZeRO-2)."""
    return _asked_for("DEEPSPEED")


def _asked_for(way: str) -> bool:
    return os.environ.get(f"ACCELERATE_USE_{way}", "false").lower() == "true"


def _refuse_shared_weights() -> None:
    stage = 0
    if shards_states():
        from accelerate import DeepSpeedPlugin

        stage = DeepSpeedPlugin().zero_stage
    way = "FSDP" if _asked_for("FSDP") else f"ZeRO-{stage}" if stage > _LARGEST_STAGE else None
    if way:
        raise ConfigError(
            f"accelerate launch asks for {way}: each process holds all weights; use "
            "training/accelerate/gpus-zero.yaml, and model.adapter = 'qlora' to save more memory"
        )


def count() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_main() -> bool:
    """Whether this is the process that writes and speaks for all."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def from_main(make: Callable[[], Result]) -> Result:
    """What the main process makes, in all of them; each waits until it is made."""
    if count() == 1:
        return make()
    made = [make() if is_main() else None]
    distributed.broadcast_object_list(made)
    return cast(Result, made[0])


def main_first(make: Callable[[], Result]) -> Result:
    """What each process makes, the others after the main one, from what that left in a cache."""
    made = [make()] if is_main() else []
    from_main(lambda: None)
    return made[0] if made else make()


def share(
    work: Callable[[Sequence[Task]], Sequence[Result]], tasks: Sequence[Task]
) -> list[Result]:
    """The result of each task, in their order, in all processes; each works on its part."""
    if count() == 1:
        return list(work(tasks))
    parts: list[Sequence[Result] | None] = [None] * count()
    distributed.all_gather_object(parts, work(tasks[distributed.get_rank() :: count()]))
    results: dict[int, Result] = {}
    for rank, part in enumerate(parts):
        results |= zip(range(rank, len(tasks), count()), part or (), strict=True)
    return [results[index] for index in range(len(tasks))]


def refuse_several(command: str) -> None:
    """Refuse to run a command in several processes that would all do the same, or with shards.

    Raises:
        ConfigError: `accelerate launch` asks for it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 or shards_states() or _asked_for("FSDP"):
        raise ConfigError(f"recgen {command} runs in one process: start it without accelerate")

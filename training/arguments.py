"""The options that every trainer of transformers is given alike."""

from collections.abc import Sequence
from math import gcd
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import TrainingArguments

from rec_gen.models import Dtype
from training.processes import shards_states
from training.ranking import NDCG
from training.tracking import Tracker

Arguments = TypeVar("Arguments", bound=TrainingArguments)


def shared_arguments(
    folder: Path, dtype: Dtype, seed: int, steps: int, every: int, track: Sequence[Tracker]
) -> dict[str, Any]:
    """Validate and save at the same steps, log there too; keep the step with the best NDCG@10.

    Args:
        folder: Where checkpoints are written.
        dtype: The type of the weights.
        seed: Seeds the order of the examples.
        steps: The last step.
        every: Steps between validations.
        track: Where the curves go beside TensorBoard, by the name of the run's folder.
    """
    every = min(every, steps)
    cpu = not torch.cuda.is_available()
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "adam_beta2": 0.98,
        "bf16": dtype == "bfloat16",
        "use_cpu": cpu and not shards_states(),
        "ddp_backend": "gloo" if cpu and shards_states() else None,
        "seed": seed,
        "data_seed": seed,
        "eval_strategy": "steps",
        "eval_steps": every,
        "save_strategy": "steps",
        "save_steps": every,
        "save_total_limit": 2,
        "load_best_model_at_end": True,
        "metric_for_best_model": f"eval_{NDCG}",
        "greater_is_better": True,
        "prediction_loss_only": True,
        "restore_callback_states_from_checkpoint": True,
        "dataloader_pin_memory": not cpu,
        "logging_steps": gcd(10, every),
        "report_to": list(track),
        "run_name": folder.parent.name,
        "disable_tqdm": True,
    }


def on_one_device(arguments: Arguments) -> Arguments:
    """Keep a process from training on every GPU that it sees, by copies that know no composition.

    `accelerate launch` starts a process a GPU instead.
    """
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments

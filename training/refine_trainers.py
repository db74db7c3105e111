"""From a bundle, a method and examples to one of TRL's trainers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset as Rows
from trl import DPOConfig, GRPOConfig

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Example
from training.arguments import on_one_device, shared_arguments
from training.dpo import PreferenceTrainer, SoftmaxDPOTrainer
from training.grpo import ItemRollout, RewardTrainer, item_reward
from training.negatives import preferences
from training.refine_config import RefineConfig


def dpo_trainer(
    bundle: Bundle,
    config: RefineConfig,
    examples: Sequence[Example],
    folder: Path,
    *,
    exclude_seen: bool,
    **options: Any,
) -> PreferenceTrainer:
    """A trainer of preferences over hard negatives, which are searched for at once.

    Args:
        bundle: The model that is trained, and whose beams the negatives come from.
        config: The method and its options.
        examples: Histories and true items.
        folder: Where checkpoints are written.
        exclude_seen: Take no item of the history for a negative.
        options: What every trainer of transformers is given.
    """
    found = preferences(bundle, examples, config.negatives, exclude_seen=exclude_seen)
    rng = np.random.default_rng(config.seed)
    softmax = config.method == "softmax-dpo"
    rows = Rows.from_list(
        [
            {
                "prompt_ids": preference.prompt,
                "chosen_ids": preference.chosen,
                "rejected_ids": preference.rejected
                if softmax
                else preference.rejected[rng.integers(config.negatives)],
            }
            for preference in found
        ]
    )
    arguments = DPOConfig(
        **_arguments(bundle, config, folder),
        per_device_train_batch_size=config.batch_size,
        beta=config.beta,
        max_length=None,
    )
    if softmax:
        options["negatives"] = config.negatives
        options["pad_token_id"] = bundle.tokenizer.pad_token_id
    trainer = SoftmaxDPOTrainer if softmax else PreferenceTrainer
    return trainer(
        model=bundle.model,
        args=on_one_device(arguments),
        train_dataset=rows,
        eval_dataset=rows,  # asked for by transformers and not read: the evaluation ranks
        processing_class=bundle.tokenizer,
        **options,
    )


def reward_trainer(
    bundle: Bundle,
    config: RefineConfig,
    examples: Sequence[Example],
    folder: Path,
    *,
    exclude_seen: bool,
    **options: Any,
) -> RewardTrainer:
    """A trainer that rewards what the model draws under constraints; arguments as above."""
    rows = Rows.from_dict({"prompt": [str(index) for index in range(len(examples))]})
    completions = config.batch_size * config.draws
    arguments = GRPOConfig(
        **_arguments(bundle, config, folder),
        per_device_train_batch_size=completions,
        per_device_eval_batch_size=completions,
        num_generations=config.draws,
        beta=config.kl,
        disable_dropout=True,
    )
    return RewardTrainer(
        model=bundle.model,
        reward_funcs=item_reward,
        rollout_func=ItemRollout(bundle, examples, config.draws, exclude_seen=exclude_seen),
        args=on_one_device(arguments),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=bundle.tokenizer,
        **options,
    )


def _arguments(bundle: Bundle, config: RefineConfig, folder: Path) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        **shared_arguments(
            folder,
            manifest.dtype,
            config.seed,
            config.max_steps,
            config.every_steps,
            config.track,
        ),
        "gradient_accumulation_steps": config.accumulation,
        "gradient_checkpointing": manifest.recipe["train"]["gradient_checkpointing"],
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": config.warmup_steps,
    }

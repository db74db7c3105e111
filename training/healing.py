"""A short run of the recipe's loss that brings a model back after layers were dropped."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
from transformers import set_seed

from rec_gen.bundle import Bundle
from rec_gen.config import parse_config
from rec_gen.data.dataset import Dataset, Example
from training.compress_config import CompressConfig
from training.dropout import add_dropout
from training.memory import explain_out_of_memory, keep_freed_memory
from training.merging import merge_adapter
from training.ranking import NDCG, at_best_step
from training.recipe import Recipe
from training.run_folder import resumable_checkpoint
from training.setup import add_adapter
from training.sft import sft_trainer


def heal(
    bundle: Bundle,
    config: CompressConfig,
    dataset: Dataset,
    held: list[Example],
    folder: Path,
    unhealed: float,
) -> tuple[Bundle, int]:
    """Train on by the loss of the bundle's recipe: all weights, or an adapter if it trained one.

    Args:
        bundle: A whole model, which stays as it is.
        config: How long and how fast.
        dataset: The data that the bundle was trained on.
        held: The validation examples.
        folder: The run's folder, for checkpoints and logs.
        unhealed: The NDCG@10 that is to be beaten.

    Returns:
        The bundle at the step that ranked best, an adapter merged, and that step; the bundle as it
        was and 0 where no step ranked better.
    """
    recipe = _healing_recipe(bundle, config)
    set_seed(config.seed)
    model = deepcopy(bundle.model)
    add_dropout(model, recipe.train.embedding_dropout, recipe.train.dropout)
    new_tokens: list[int] = []
    if bundle.spellings.scheme != "title":
        new_tokens = np.unique(np.concatenate(bundle.spellings.tokens)).tolist()
    adapted = recipe.model.adapter != "none"
    if adapted:
        model = add_adapter(model, recipe.model, new_tokens)
    healed = replace(bundle, model=model)
    trainer = sft_trainer(recipe, dataset, healed, folder, held, new_tokens)
    keep_freed_memory()
    with explain_out_of_memory(recipe.train.batch_size):
        trainer.train(resume_from_checkpoint=resumable_checkpoint(folder))
    if at_best_step(trainer.state.log_history, NDCG) <= unhealed:
        return bundle, 0
    model.eval()
    if adapted:
        healed = replace(healed, model=merge_adapter(model, bundle.manifest.dtype))
    return healed, trainer.state.best_global_step


def _healing_recipe(bundle: Bundle, config: CompressConfig) -> Recipe:
    """The bundle's recipe for the healing; a base is not quantised again."""
    recipe = parse_config(Recipe, bundle.manifest.recipe)
    train = {
        "max_steps": config.heal_steps,
        "learning_rate": config.learning_rate or recipe.train.learning_rate / 10,
        "warmup_steps": config.warmup_steps,
        "max_minutes": None,
    }
    adapter = "none" if recipe.model.adapter == "none" else "lora"
    return recipe.model_copy(
        update={
            "seed": config.seed,
            "model": recipe.model.model_copy(update={"adapter": adapter}),
            "train": recipe.train.model_copy(update=train),
            "validation": recipe.validation.model_copy(update={"every_steps": config.every_steps}),
        }
    )

"""How a fine-tuned model is refined by preferences or rewards."""

from typing import Literal

from pydantic import Field

from rec_gen.config import Config
from training.tracking import Tracker

Method = Literal["dpo", "softmax-dpo", "grpo"]


class RefineConfig(Config):
    """A refinement of a bundle; what it does not say is as in the recipe of the bundle.

    Attributes:
        method: `dpo` sets the true next item against one hard negative (Rafailov et al., 2023),
            `softmax-dpo` against several at once (S-DPO, Chen et al., 2024), `grpo` rewards items
            that the model draws (Shao et al., 2024).
        max_steps: Optimizer steps.
        batch_size: Histories a step and device.
        accumulation: Batches that are summed up to one step.
        learning_rate: The highest learning rate.
        warmup_steps: Steps to the highest learning rate; it falls to 0 as a cosine.
        negatives: Hard negatives of a history: the likeliest items that are not the true one.
            `dpo` takes one of them, drawn with the seed.
        beta: How much a preference of DPO counts against distance from the model at the start;
            a larger one keeps the model nearer.
        draws: Distinct items that GRPO draws for a history.
        kl: The weight of GRPO's divergence from the model at the start.
        every_steps: Steps between validations; a checkpoint is written at each.
        patience: Validations without a better NDCG@10 before training stops.
        seed: Seeds the examples, their order and all draws.
        track: As in a recipe.
    """

    method: Method
    max_steps: int = Field(default=200, ge=1)
    batch_size: int = Field(default=16, ge=1)
    accumulation: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=1e-5, gt=0)
    warmup_steps: int = Field(default=10, ge=0)
    negatives: int = Field(default=4, ge=1)
    beta: float = Field(default=1.0, gt=0)
    draws: int = Field(default=16, ge=2)
    kl: float = Field(default=0.001, ge=0)
    every_steps: int = Field(default=20, ge=1)
    patience: int = Field(default=5, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    track: tuple[Tracker, ...] = ()

"""How a finished model is made smaller."""

from typing import Literal, Self

from pydantic import Field, model_validator

from rec_gen.config import Config

Weights = Literal["same", "bfloat16", "int8", "nf4"]


class CompressConfig(Config):
    """A compression of a bundle; what it does not say is as in the recipe of the bundle.

    Attributes:
        drop_layers: Neighbouring layers that are dropped, those that change least.
        weights: `same` leaves the type, `bfloat16` rounds all weights, `int8` and `nf4` store the
            linear layers in 8 or 4 bits and leave embeddings and LM head.
        heal_steps: Optimizer steps of the recipe's loss after dropping; 0 leaves that out.
        learning_rate: The highest learning rate of these steps; None is a tenth of the recipe's.
        warmup_steps: Steps to the highest learning rate.
        every_steps: Steps between validations; a checkpoint is written at each.
        histories: Training histories that say which layers change least.
        seed: Seeds these histories and the order of the healing.
    """

    drop_layers: int = Field(default=0, ge=0)
    weights: Weights = "same"
    heal_steps: int = Field(default=0, ge=0)
    learning_rate: float | None = Field(default=None, gt=0)
    warmup_steps: int = Field(default=10, ge=0)
    every_steps: int = Field(default=20, ge=1)
    histories: int = Field(default=64, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _heals_what_was_dropped(self) -> Self:
        if self.heal_steps and not self.drop_layers:
            raise ValueError("heal_steps needs drop_layers: give both, or neither")
        return self

"""How an adapter is trained by clients that keep their interactions."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from rec_gen.cli.common import data_config
from rec_gen.config import Config
from training.recipe import Recipe, TrainConfig, read_recipe

Attack = Literal["nan", "shape", "huge", "sign-flip"]
UNKNOWN_TO_CLIENTS = (
    "packing", "accumulation", "item_dropout", "neftune_alpha", "group_by_length",
    "gradient_checkpointing", "max_minutes", "adversarial",
)  # fmt: skip
"""Keys of `train` that the loop of a client does not know."""


class FaultConfig(Config):
    """What goes wrong in a simulation, drawn with the seed.

    Attributes:
        drop_out: How often a client that was asked to train gives no answer.
        garbage: The share of the clients that send garbage in every round, rounded.
        attack: What these send: `nan` for every number, arrays of another `shape`, the true update
            times a million (`huge`), or minus ten times the true update (`sign-flip`).
    """

    drop_out: float = Field(default=0.0, ge=0, lt=1)
    garbage: float = Field(default=0.0, ge=0, le=1)
    attack: Attack = "sign-flip"


class FederatedConfig(Config):
    """How the rounds go.

    Attributes:
        clients: Clients of a simulation; users are dealt to them in turn.
        local_steps: Optimizer steps that a client takes between two averages; the recipe's
            `train.max_steps` are those that it takes in all, with its own batches.
        strategy: `fedavg` averages what clients learnt (McMahan et al., 2017), `fedprox` keeps each
            near what all began the round with (Li et al., 2020).
        mu: The weight of that pull; the loss gains mu / 2 times the squared distance.
        clip: Updates longer than so many times the median length of the round's are shortened to
            that; None takes them as they are. It bounds what fewer than half of the clients can do.
        trim: The share of clients that is left out at either end of each single number, so that
            the average is a trimmed mean (Yin et al., 2018); all clients weigh the same in it.
        secure: Whether the server sees nothing but the sum of the updates (SecAgg+, Bell et al.,
            2020), so that it can neither clip nor trim.
        secure_range: With `secure`, the largest absolute value of a weight; it is cut there and
            rounded to its 2 ** 21st part.
        least: The fewest updates that make a round.
        wait: Seconds that the server waits for clients and for their answers.
        faults: What goes wrong in a simulation.
    """

    clients: int = Field(default=20, ge=2)
    local_steps: int = Field(default=10, ge=1)
    strategy: Literal["fedavg", "fedprox"] = "fedavg"
    mu: float = Field(default=0.01, gt=0)
    clip: float | None = Field(default=None, gt=0)
    trim: float = Field(default=0.0, ge=0, lt=0.5)
    secure: bool = False
    secure_range: float = Field(default=8.0, gt=0)
    least: int = Field(default=2, ge=1)
    wait: float = Field(default=3600.0, gt=0)
    faults: FaultConfig = FaultConfig()

    @model_validator(mode="after")
    def _secure_alone(self) -> Self:
        if self.secure and (self.clip is not None or self.trim):
            raise ValueError(
                "secure hides each update from the server, which could neither clip nor trim it: "
                "leave out clip and trim, or secure"
            )
        if self.secure and self.least < 3:
            raise ValueError("secure needs at least 3 clients a round: set least = 3 or more")
        return self


class FederatedRecipe(Recipe):
    """A recipe whose adapter is trained by clients.

    Attributes:
        federated: How; the recipe without this table is an ordinary one.
    """

    federated: FederatedConfig = FederatedConfig()

    @model_validator(mode="after")
    def _trained_by_clients(self) -> Self:
        model, train = self.model, self.train
        if model.adapter != "lora":
            raise ValueError('federated training sends adapters: set model.adapter = "lora"')
        if model.embed:
            raise ValueError(
                "federated training knows no model.embed, since counts would read interactions "
                "that stay with the clients: leave it out"
            )
        if self.spelling.scheme == "semantic" and self.spelling.sources != ("text",):
            raise ValueError(
                "federated training knows semantic IDs of text alone, since counts would read "
                'interactions that stay with the clients: set spelling.sources = ["text"]'
            )
        if self.prior is not None:
            raise ValueError("prior counts interactions, which stay with the clients: leave it out")
        for key in ("tasks", "track", "domains", "privacy"):
            if getattr(self, key):
                raise ValueError(f"federated training knows no {key}: leave them out")
        for key in UNKNOWN_TO_CLIENTS:
            if getattr(train, key) != TrainConfig.model_fields[key].default:
                raise ValueError(f"federated training does without train.{key}: leave it out")
        return self

    @property
    def rounds(self) -> int:
        """How often clients train and the server averages."""
        return -(-self.train.max_steps // self.federated.local_steps)

    def plain(self) -> Recipe:
        """The recipe without what clients do, as a bundle keeps it."""
        return Recipe.model_validate(self.model_dump(exclude={"federated"}))


def load_federated_recipe(
    name: str, data: str | None, overrides: Sequence[str] = ()
) -> FederatedRecipe:
    """Read a recipe by its name or file, with another data set where one is given.

    Raises:
        ConfigError: There is no such recipe, or it is wrong.
    """
    other = None if data is None else data_config(data, ())
    return read_recipe(FederatedRecipe, name, other, overrides)

"""The stages that a bundle went through after its first training, as its manifest tells them."""

from typing import Any

from pydantic import Field

from rec_gen.config import Config


class Refinement(Config):
    """A stage of training after the first.

    Attributes:
        parent: The digest of the manifest of the bundle that it began with.
        settings: The method and its options.
        before: What that bundle scored on the validation split.
        best_step: The step that is kept.
    """

    parent: str
    settings: dict[str, Any]
    before: dict[str, float]
    best_step: int


class Compression(Config):
    """What made a finished model smaller.

    Attributes:
        parent: The digest of the manifest of the bundle that it began with.
        settings: The options.
        before: What that bundle scored on the validation split.
        dropped: The layers that were dropped, numbered as in the parent from 0.
        angle: How far these layers turned the state, from 0 to 1; None where none was dropped.
        unhealed: What the model scored with its layers dropped and not healed yet.
        best_step: The step of the healing that is kept; 0 where none was or none ranked better.
    """

    parent: str
    settings: dict[str, Any]
    before: dict[str, float]
    dropped: tuple[int, ...] = ()
    angle: float | None = None
    unhealed: dict[str, float] = Field(default_factory=dict)
    best_step: int = 0

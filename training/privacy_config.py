"""What a private run promises, as a recipe's table `[privacy]` says it."""

from pydantic import Field

from rec_gen.config import Config


class PrivacyConfig(Config):
    """Differentially private training; a user is what is protected.

    Attributes:
        epsilon: The budget of the whole run; the noise is chosen so that its steps spend it.
        delta: How likely the promise may fail; default: the largest power of ten below one over
            the number of users.
        clip_norm: The length to which a user's gradient is cut.
    """

    epsilon: float = Field(ge=0.1, le=100)
    delta: float | None = Field(default=None, gt=0, lt=1)
    clip_norm: float = Field(default=1.0, gt=0)

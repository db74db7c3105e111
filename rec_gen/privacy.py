"""What a bundle promises to the users that it was trained on."""

from rec_gen.config import Config


class Privacy(Config):
    """Differential privacy of a bundle: what it would be without any one user, it is nearly so.

    Data sets are neighbours where one has one user more, with all of their interactions.

    Source: Dwork, McSherry, Nissim and Smith, "Calibrating Noise to Sensitivity in Private Data
    Analysis", 2006; the steps are those of Abadi et al., "Deep Learning with Differential
    Privacy", 2016.

    Attributes:
        epsilon: The budget that was spent, an upper bound.
        delta: How likely the promise may fail.
        users: The users that training drew from.
        sample_rate: How likely a step read a user.
        noise_multiplier: The noise's standard deviation over the clipping norm.
        clip_norm: The length to which a user's gradient was cut.
        steps: The steps that led to the weights.
        accountant: What joined the budgets of the steps: `prv` is that of Gopi, Lee and Wutschitz,
            "Numerical Composition of Differential Privacy", 2021.
    """

    epsilon: float
    delta: float
    users: int
    sample_rate: float
    noise_multiplier: float
    clip_norm: float
    steps: int
    accountant: str

    def __str__(self) -> str:
        return (
            f"privacy: epsilon {self.epsilon:.3g}, delta {self.delta:.0e} for each of "
            f"{self.users:,} users ({self.steps:,} steps, sampling rate {self.sample_rate:.3g}, "
            f"noise multiplier {self.noise_multiplier:.3g}, clipping norm {self.clip_norm:g}, "
            f"accountant {self.accountant})"
        )

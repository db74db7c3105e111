"""The budget of a private run, and what a recipe may not ask of one."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import MappingProxyType
from typing import Any

from rec_gen.errors import ConfigError, MissingPackageError
from rec_gen.manifest import Manifest
from rec_gen.privacy import Privacy
from training.processes import count, shards_states
from training.recipe import Recipe
from training.setup import weights_type

ACCOUNTANT = "prv"
COOCCURRENCE = "cooccurrence"
HALVINGS = 8
PRIVATE_ARGUMENTS: Mapping[str, Any] = MappingProxyType(
    {
        "max_grad_norm": 0.0,  # users' gradients are clipped, not their noisy sum
        "load_best_model_at_end": False,
        "metric_for_best_model": None,
        "greater_is_better": None,
        "ignore_data_skip": True,  # a resumed run draws anew
    }
)
"""What transformers is told otherwise than in `shared_arguments`."""


def refuse_uncounted(recipe: Recipe) -> None:
    """Refuse what would read the users' data outside of the budget, or break the noise.

    Raises:
        ConfigError: The recipe or the launch asks for it; the message names the key and the mend.
    """
    train, model, spelling = recipe.train, recipe.model, recipe.spelling
    clustered = spelling.sources if spelling.scheme == "semantic" else ()
    problems = {
        "tasks": (recipe.tasks, "further tasks make more rows of a user; leave them out"),
        "domains": (recipe.domains, "rows of a domain repeat its users; leave them out"),
        "prior": (recipe.prior, "its counts have no noise; leave the table out"),
        "spelling.sources": (
            COOCCURRENCE in clustered,
            "co-occurrence is counted without noise; spell by text or words",
        ),
        "model.embed": (
            COOCCURRENCE in model.embed,
            "co-occurrence is counted without noise; embed text or words",
        ),
        "model.adapter": (model.adapter == "qlora", "use lora, or none"),
        "model.dtype": (
            weights_type(model) != "float32",
            "gradients are clipped in float32; set float32",
        ),
        "train.loss": (
            train.loss != "every-item",
            "last-item makes many rows of a user; set every-item",
        ),
        "train.crops": (train.crops, "crops are more rows of a user; set 0"),
        "train.recency": (train.recency, "its weights depend on all users; set 0"),
        "train.packing": (train.packing, "users are read one by one; set false"),
        "train.group_by_length": (train.group_by_length, "users are drawn by chance; set false"),
        "train.accumulation": (
            train.accumulation != 1,
            "users are read one by one already; set 1 and raise train.batch_size",
        ),
    }
    for key, (asked, mend) in problems.items():
        if asked:
            raise ConfigError(f"{key}: not in a private run: {mend}, or leave [privacy] out")
    if count() > 1 or shards_states():
        raise ConfigError("[privacy] trains in one process: start it without accelerate")


def plan(recipe: Recipe, users: int) -> Privacy:
    """The least noise with which the steps of a recipe stay within its budget.

    Args:
        recipe: A run with a table `[privacy]`.
        users: The users that have something to learn.

    Raises:
        ConfigError: There is no such noise, or a step would read more users than there are.
        MissingPackageError: Opacus is not installed.
    """
    asked, train = recipe.privacy, recipe.train
    if asked is None:
        raise ConfigError("privacy: the recipe has no such table")
    if train.batch_size > users:
        raise ConfigError(
            f"train.batch_size: {train.batch_size} is more than the {users} users; lower it"
        )
    # the largest power of ten below 1 / users
    delta = 10.0 ** -len(str(users)) if asked.delta is None else asked.delta
    if delta >= 1 / users:
        raise ConfigError(
            f"privacy.delta: {delta:g} lets a whole user leak; set less than 1 / {users} users"
        )
    rate = train.batch_size / users
    try:
        noise = _least_noise(asked.epsilon, delta, rate, train.max_steps)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise ConfigError(
            f"privacy.epsilon: no noise was found for {asked.epsilon:g}: {error}; raise it, or "
            "lower train.max_steps or train.batch_size"
        ) from error
    planned = Privacy(
        epsilon=asked.epsilon,
        delta=delta,
        users=users,
        sample_rate=rate,
        noise_multiplier=noise,
        clip_norm=asked.clip_norm,
        steps=train.max_steps,
        accountant=ACCOUNTANT,
    )
    return spent(planned, train.max_steps)


@cache
def _least_noise(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """Between a looser accountant's noise, which is found fast, and a quarter of it."""
    try:
        from opacus.accountants.utils import get_noise_multiplier
    except ModuleNotFoundError as error:
        raise MissingPackageError("opacus", "private") from error
    with _quiet():
        enough = get_noise_multiplier(
            target_epsilon=epsilon,
            target_delta=delta,
            sample_rate=rate,
            steps=steps,
            accountant="rdp",
        )
    low, high = float(enough) / 4, float(enough)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _epsilon(middle, delta, rate, steps) > epsilon:
            low = middle
        else:
            high = middle
    return high


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back warnings of bounds that only narrow the search, and of log(0) at a rate of 1."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimal order is the")
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="opacus")
        yield


def spent(budget: Privacy, steps: int) -> Privacy:
    """What so many steps spend of a budget; a run may end before its last step."""
    epsilon = _epsilon(budget.noise_multiplier, budget.delta, budget.sample_rate, steps)
    return budget.model_copy(update={"epsilon": epsilon, "steps": steps})


def _epsilon(noise: float, delta: float, rate: float, steps: int) -> float:
    from opacus.accountants import create_accountant

    accountant = create_accountant(mechanism=ACCOUNTANT)
    accountant.history = [(noise, rate, steps)]
    with _quiet():
        return float(accountant.get_epsilon(delta=delta))


def refuse_private(manifest: Manifest) -> None:
    """Refuse to go on from a private bundle by steps that have no noise.

    Raises:
        ConfigError: The bundle is private.
    """
    if manifest.privacy is not None:
        raise ConfigError(
            f"the bundle '{manifest.name}' is private: this would read its users' interactions "
            "without noise; train its recipe with other settings instead"
        )

"""An experiment with prompts: all arms answer the same users, and what was measured stays."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path

import numpy as np
from rich.console import Console

from eval.experiment_blocks import Answered, ArmIdentity, ArmRunner, read_block, write_block
from eval.experiment_config import Arm, ExperimentConfig
from eval.experiment_model import check_models, load_subject
from eval.experiment_report import Experiment, report
from eval.experiment_slices import slice_examples
from rec_gen.data.dataset import Dataset, Example, Split
from rec_gen.data.prepare import load_dataset
from rec_gen.errors import ConfigError


@dataclass(frozen=True)
class _Block:
    """The examples of a few users, and the file of what an arm answered to them."""

    examples: Sequence[Example]
    path: Path


@dataclass(frozen=True)
class _Plan:
    """What one arm is asked; its model may be loaded again for it."""

    arm: Arm
    identity: ArmIdentity
    blocks: Sequence[_Block]


def run_experiment(
    config: ExperimentConfig, folder: Path, allowed_leaks: Collection[str] = ()
) -> Experiment:
    """Ask every arm, or read what it answered before; says on stderr how long it will take.

    What is in the folder was measured by the same command, or by another one whose arms read the
    same prompts with the same model: a block's file is named by a digest of all that decides it.

    Args:
        config: The experiment.
        folder: Where answers are kept.
        allowed_leaks: Checks for leaks that may fail.

    Raises:
        ConfigError: The split holds too few users, a column cannot slice them, or a leak that is
            allowed has no check.
        DataError: A leak is found, or what was kept is damaged.
        RecGenError: A model, a template or a slot is not to be had; nothing is measured before all
            templates were rendered for all users.
    """
    dataset = load_dataset(config.data)
    examples = draw_examples(dataset, config)
    parts = slice_examples(config, dataset, examples)
    leaks = check_models(config.models, dataset, allowed_leaks)
    load = lru_cache(maxsize=1)(partial(load_subject, dataset=dataset))
    plans = []
    for model, arms in groupby(config.arms, key=lambda arm: arm.model):
        for arm in arms:
            runner = ArmRunner(arm, load(model), dataset, config)
            blocks = [
                _Block(block, folder / "blocks" / f"{runner.key(block)}.json")
                for block in _blocks(examples, config.block)
            ]
            plans.append(_Plan(arm, runner.identity, blocks))
    clock = _Clock(sum(len(plan.blocks) for plan in plans))
    answers = {
        plan.arm.name: _ask(
            plan, lambda arm: ArmRunner(arm, load(arm.model), dataset, config), clock
        )
        for plan in plans
    }
    identities = {plan.arm.name: plan.identity for plan in plans}
    return report(config, dataset, examples, parts, answers, identities, leaks)


def draw_examples(dataset: Dataset, config: ExperimentConfig) -> list[Example]:
    """The held-out interactions of the users that are drawn, in the order of the data.

    Raises:
        ConfigError: The split holds fewer users.
    """
    examples = list(dataset.examples(Split(config.split)))
    users = list(dict.fromkeys(example.user for example in examples))
    count = len(users) if config.users is None else config.users
    if count > len(users) or not users:
        raise ConfigError(
            f"key 'users': the split '{config.split}' of {dataset.name} holds {len(users)} users: "
            "ask for fewer"
        )
    drawn = np.random.default_rng(config.seed).choice(len(users), count, replace=False)
    chosen = {users[index] for index in drawn}
    return [example for example in examples if example.user in chosen]


def _blocks(examples: Sequence[Example], size: int) -> list[list[Example]]:
    """The examples of so many users at a time."""
    users = [list(rows) for _, rows in groupby(examples, key=lambda example: example.user)]
    return [
        [example for rows in users[start : start + size] for example in rows]
        for start in range(0, len(users), size)
    ]


def _ask(plan: _Plan, load: Callable[[Arm], ArmRunner], clock: "_Clock") -> list[Answered]:
    """What an arm answers to all blocks, in their order; its model is loaded if any is missing."""
    answers: list[Answered] = []
    runner: ArmRunner | None = None
    for number, block in enumerate(plan.blocks, start=1):
        known = read_block(block.path, len(block.examples))
        if known is None:
            runner = runner or load(plan.arm)
            start = time.perf_counter()
            known = [runner.ask(example) for example in block.examples]
            write_block(block.path, known)
            label = f"{plan.arm.name}, {number} of {len(plan.blocks)}"
            clock.measured(label, time.perf_counter() - start)
        else:
            clock.skipped()
        answers += known
    return answers


class _Clock:
    """Says how long the rest will take."""

    def __init__(self, blocks: int) -> None:
        self._left, self._seconds = blocks, list[float]()
        self._console = Console(stderr=True, highlight=False)

    def skipped(self) -> None:
        """Count a block that was measured before."""
        self._left -= 1

    def measured(self, label: str, seconds: float) -> None:
        """Count a block, and print what is left if the others take as long on average."""
        self._left -= 1
        self._seconds.append(seconds)
        left = self._left * sum(self._seconds) / len(self._seconds)
        self._console.print(
            f"{label}: {seconds:.1f} s; about {left / 60:.1f} minutes left", markup=False
        )

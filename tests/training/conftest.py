from pathlib import Path

import pytest

from tests.toy import EVERY_TASK, SCRATCH, rated, tiny_base, toy_dataset, toy_recipe
from training.sft import train


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a small model with all of its weights, half trained."""
    recipe = toy_recipe(train={"max_steps": 12})
    return train(recipe, toy_dataset(), tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="session")
def rater(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a small model that learnt a little of ratings, too."""
    recipe = toy_recipe(
        prompt={"max_tokens": 300},
        model={"scratch": {**SCRATCH, "num_hidden_layers": 2}},
        tasks=[task for task in EVERY_TASK if task["template"] == "rating"],
    )
    return train(recipe, rated(toy_dataset()), tmp_path_factory.mktemp("rater"))


@pytest.fixture(scope="session", params=[True, False], ids=["tied", "untied"])
def adapted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a half-trained adapter with item tokens; the base's head is tied or not."""
    folder = tmp_path_factory.mktemp("adapted")
    recipe = toy_recipe(
        prompt={"template": "next_item", "max_tokens": 512},
        model={"base": tiny_base(folder / "base", tied=request.param), "adapter": "lora"},
        train={"max_steps": 40, "learning_rate": 0.02},
        validation={"every_steps": 40},
    )
    return train(recipe, toy_dataset(), folder / "run")

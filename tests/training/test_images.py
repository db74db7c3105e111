"""Training on prompts that show images."""

from pathlib import Path

import polars as pl
import pytest
import torch
from PIL import Image

from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog
from rec_gen.config import parse_config
from rec_gen.data.dataset import Dataset
from rec_gen.errors import ConfigError, ModelError
from rec_gen.images import FIRST
from rec_gen.testing import tiny_image_model
from tests.toy import ITEMS, tiny_base, toy_dataset, toy_recipe
from training.compress import compress
from training.compress_config import CompressConfig
from training.ranking import NDCG, validate, validation_examples
from training.recipe import Recipe
from training.refine import refine
from training.refine_config import RefineConfig
from training.sft import train

TEXT = """{#
task: next_item
version: 1
inputs: history
#}
Seen:
{% for item in history %}
{{ item | image }}{{ item.spelling }}
{% endfor %}
"""


def pictured(folder: Path) -> Dataset:
    """The toy data, each item with an image of its own grey."""
    (folder / "covers").mkdir()
    for item in range(ITEMS):
        Image.new("L", (30, 20), 20 * item).save(folder / "covers" / f"{item}.png")
    dataset = toy_dataset()
    images = pl.Series("image", [f"{item}.png" for item in range(ITEMS)])
    catalog = Catalog(dataset.catalog.frame.with_columns(images))
    return Dataset(catalog, dataset.frame, dataset.manifest)


def recipe_of(folder: Path, base: str, **model: object) -> Recipe:
    (folder / "shown.jinja").write_text(TEXT)
    prompt = {"template": str(folder / "shown.jinja"), "images": folder / "covers"}
    return toy_recipe(
        spelling={"scheme": "item"},
        prompt={**prompt, "max_tokens": 300},
        model={"base": base, "scratch": {}, **model},
    )


@pytest.mark.parametrize("adapter", ["none", pytest.param("lora", marks=pytest.mark.slow)])
def test_a_bundle_ranks_as_in_training_and_sees_what_it_saw(adapter: str, tmp_path: Path) -> None:
    dataset = pictured(tmp_path)
    processor, model = tiny_image_model()
    processor.save_pretrained(tmp_path / "base")
    model.save_pretrained(tmp_path / "base")
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    recipe = recipe_of(tmp_path, str(tmp_path / "base"), adapter=adapter)
    bundle = Bundle.load(train(recipe, dataset, tmp_path / "run"))
    assert any(token >= FIRST for token in bundle.renderer().render([1, 2]).ids)
    held = validation_examples(dataset, recipe.validation, recipe.seed)
    found = validate(bundle, held, recipe.validation, None)[NDCG]
    assert found == pytest.approx(bundle.manifest.metrics[NDCG], abs=1e-6)
    after = dict(bundle.model.named_parameters())
    if adapter == "none":
        same = {name for name, weight in before.items() if torch.equal(after[name], weight)}
        text = {name for name in before if "text_model" in name or "lm_head" in name}
        assert {name for name in before if "vision" in name or "connector" in name} <= same
        assert not same & text
    with pytest.raises(ConfigError, match="show images, which only recgen train can learn from"):
        refine(bundle, parse_config(RefineConfig, {"method": "dpo"}), dataset, tmp_path / "more")
    with pytest.raises(ConfigError, match="show images, which compress would lose"):
        compress(
            bundle, parse_config(CompressConfig, {"weights": "int8"}), dataset, tmp_path / "less"
        )


def test_a_model_that_reads_text_alone_is_refused(tmp_path: Path) -> None:
    dataset = pictured(tmp_path)
    recipe = recipe_of(tmp_path, tiny_base(tmp_path / "base"))
    with pytest.raises(ModelError, match=r"reads no images: leave prompt\.images out"):
        train(recipe, dataset, tmp_path / "run")

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from rec_gen.bundle import Bundle
from rec_gen.config import parse_config
from rec_gen.data.dataset import Dataset, Split
from rec_gen.decoding.runtimes import runtime_for
from rec_gen.errors import BundleError, ConfigError, MissingPackageError
from rec_gen.models import weight_bytes
from rec_gen.recommender import Recommender
from rec_gen.testing import brute_force
from tests.toy import SCRATCH, rated, tiny_base, toy_dataset, toy_recipe
from training.calibration import calibrate
from training.compress import Report, compress
from training.compress_config import CompressConfig
from training.healing import heal
from training.merging import merge_adapter
from training.ranking import rank_examples, validation_examples
from training.rating import HeldOutRatings
from training.recipe import Recipe
from training.refine import refine
from training.refine_config import RefineConfig
from training.run_folder import BUNDLE, CHECKPOINTS, REPORT
from training.sft import train

QUANTIZED = ("int8", "nf4")
DEEP = {**SCRATCH, "num_hidden_layers": 4, "hidden_size": 64, "head_dim": 32}


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a model with four layers that learnt the pattern."""
    recipe = toy_recipe(model={"scratch": DEEP}, train={"max_steps": 40})
    return train(recipe, toy_dataset(), tmp_path_factory.mktemp("deep"))


def run(start: Path, folder: Path, **options: Any) -> Report:
    return compress(Bundle.load(start), CompressConfig(**options), toy_dataset(), folder)


def changed(start: Path, path: Path, change: Callable[[Any], None]) -> Path:
    """A bundle with other weights that says how it ranks."""
    bundle = Bundle.load(start)
    with torch.no_grad():
        change(bundle.model)
    bundle.save(path)
    manifest = bundle.manifest.model_copy(update={"metrics": ranked(path)})
    replace(bundle, manifest=manifest).save(path)
    return path


def ranked(path: Path) -> dict[str, float]:
    return rank_examples(Bundle.load(path), list(toy_dataset().examples(Split.VALID)), 10, True)


def assert_holds_what_was_ranked(path: Path) -> None:
    """A calibration is fitted on the very scores, so it shows the smallest change of a weight."""
    bundle = Bundle.load(path)
    validation = parse_config(Recipe, bundle.manifest.recipe).validation
    held = list(toy_dataset().examples(Split.VALID))
    assert bundle.manifest.calibration == calibrate(bundle, held, validation)[0] != {}


@torch.inference_mode()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(torch.tensor([[5, 6, 7, 8]]), use_cache=False).logits
    return found.float()


def test_drops_layers_and_heals_them(deep: Path, tmp_path: Path) -> None:
    """The model ranks worst what it learnt to rank best, so that any healing helps."""

    def turn(model: Any) -> None:
        model.base_model.norm.weight.neg_()

    worst = changed(deep, tmp_path / "worst", turn)
    report = run(worst, tmp_path, drop_layers=2, heal_steps=20, every_steps=10, learning_rate=0.01)
    start, small = Bundle.load(worst), Bundle.load(tmp_path / BUNDLE)
    assert report.stage.unhealed["ndcg@10"] < report.after["ndcg@10"]
    assert report.stage.best_step in (10, 20)
    assert report.after == ranked(tmp_path / BUNDLE)
    assert report.stage.before == ranked(worst)
    assert small.manifest.compressions == (report.stage,)
    assert small.manifest.compressions[0].parent == start.manifest.digest
    first, second = report.stage.dropped
    assert second == first + 1
    assert small.manifest.name == "toy-compressed"
    assert small.manifest.metrics["ndcg@10"] == report.after["ndcg@10"]
    assert small.manifest.calibration != start.manifest.calibration
    assert small.model.config.num_hidden_layers == 2
    assert report.bytes_before == weight_bytes(start.model)
    assert report.bytes_after == weight_bytes(small.model) < report.bytes_before
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / BUNDLE / "model")
    assert torch.equal(logits(plain), logits(small.model))
    assert f"dropped layers {first}, {second} (from 0), which turned states by" in str(report)
    assert f"healing: the model of step {report.stage.best_step} is kept" in str(report)


def test_a_healing_that_does_harm_is_said_to_and_left(deep: Path, tmp_path: Path) -> None:
    unhealed = run(deep, tmp_path / "a", drop_layers=1)
    ruinous = {"learning_rate": 10.0, "warmup_steps": 0, "heal_steps": 2}
    report = run(deep, tmp_path / "b", drop_layers=1, **ruinous)
    assert report.stage.best_step == 0
    assert "healing: no step ranked better" in str(report)
    assert report.after == unhealed.after == unhealed.stage.unhealed
    models = [Bundle.load(tmp_path / name / BUNDLE).model for name in "ab"]
    assert torch.equal(*(logits(model) for model in models))


def test_an_interrupted_healing_ends_like_an_undisturbed_one(deep: Path, tmp_path: Path) -> None:
    options = {"drop_layers": 1, "heal_steps": 8, "every_steps": 4, "learning_rate": 1e-3}
    report = run(deep, tmp_path / "a", **options)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "b" / CHECKPOINTS / "checkpoint-8")
    shutil.rmtree(tmp_path / "b" / BUNDLE)
    (tmp_path / "b" / REPORT).unlink()
    assert run(deep, tmp_path / "b", **options) == report
    models = [Bundle.load(tmp_path / name / BUNDLE).model for name in "ab"]
    assert torch.equal(*(logits(model) for model in models))
    written = (tmp_path / "b" / BUNDLE / "manifest.json").stat().st_mtime_ns
    assert run(deep, tmp_path / "b", **options) == report
    assert (tmp_path / "b" / BUNDLE / "manifest.json").stat().st_mtime_ns == written
    with pytest.raises(ConfigError, match=r"differs in heal_steps\): .* add --restart"):
        run(deep, tmp_path / "b", **{**options, "heal_steps": 9})


def test_a_stage_takes_the_auc_and_belongs_to_the_ratings(rater: Path, tmp_path: Path) -> None:
    dataset, start = rated(toy_dataset()), Bundle.load(rater)
    config = CompressConfig(drop_layers=1, heal_steps=2)
    report = compress(start, config, dataset, tmp_path)
    small = Bundle.load(tmp_path / BUNDLE)
    held = HeldOutRatings(dataset, list(dataset.examples(Split.VALID)), 4.0, seed=0)
    auc = held.metrics(small)
    assert {*auc} == {"auc", "auc_counted", "auc_pairs"}
    assert {name: small.manifest.metrics[name] for name in auc} == auc
    assert {name: report.stage.before[name] for name in auc} == held.metrics(Bundle.load(rater))
    (tmp_path / REPORT).unlink()
    opposite = (7 - pl.col("rating")).cast(pl.Float32)
    other = Dataset(dataset.catalog, dataset.frame.with_columns(rating=opposite), dataset.manifest)
    with pytest.raises(ConfigError, match=r"differs in the data's ratings\): .* add --restart"):
        compress(Bundle.load(rater), config, other, tmp_path)


def test_an_adapter_is_merged_with_its_new_tokens(adapted: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(adapted)
    before = logits(bundle.model)
    report = run(adapted, tmp_path)
    small = Bundle.load(tmp_path / BUNDLE)
    assert small.manifest.base is None
    assert type(small.model).__name__ == "LlamaForCausalLM"
    assert torch.allclose(logits(small.model), before, atol=1e-4)
    base = Bundle.load(adapted).model.unload()
    assert not torch.allclose(logits(base), before, atol=1e-2)
    assert report.after["ndcg@10"] == pytest.approx(report.stage.before["ndcg@10"], abs=1e-6)


def test_a_merged_base_in_4_bits_is_what_the_adapter_was_trained_on(tmp_path: Path) -> None:
    recipe = toy_recipe(
        prompt={"template": "next_item", "max_tokens": 512},
        model={"base": tiny_base(tmp_path / "base"), "adapter": "qlora"},
        train={"max_steps": 10, "learning_rate": 0.02},
    )
    bundle = Bundle.load(train(recipe, toy_dataset(), tmp_path / "run"))
    before = logits(bundle.model)
    merged = merge_adapter(bundle.model, "float32")
    assert torch.allclose(logits(merged), before, atol=1e-3)
    assert not hasattr(merged.config, "quantization_config")
    merged.save_pretrained(tmp_path / "plain")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    assert torch.equal(logits(plain), logits(merged))


@pytest.mark.slow
def test_an_adapter_is_healed_by_an_adapter_and_merged(adapted: Path, tmp_path: Path) -> None:
    bundle, dataset = Bundle.load(adapted), toy_dataset()
    whole = replace(bundle, model=merge_adapter(bundle.model, "float32"))
    before = logits(whole.model)
    recipe = parse_config(Recipe, bundle.manifest.recipe)
    held = validation_examples(dataset, recipe.validation, recipe.seed)
    config = CompressConfig(drop_layers=1, heal_steps=20, every_steps=10, learning_rate=0.02)
    healed, step = heal(whole, config, dataset, held, tmp_path, unhealed=0.0)
    assert step in (10, 20)
    checkpoint = next((tmp_path / CHECKPOINTS).glob("checkpoint-*"))
    assert (checkpoint / "adapter_model.safetensors").exists()
    assert not isinstance(healed.model, PeftModel)
    assert torch.equal(logits(whole.model), before)
    assert not torch.allclose(logits(healed.model), before, atol=0.01)


@pytest.mark.slow
def test_an_adapter_in_4_bits_without_a_layer_ranks_as_reported(
    adapted: Path, tmp_path: Path
) -> None:
    options = {"heal_steps": 20, "every_steps": 10, "learning_rate": 0.02}
    report = run(adapted, tmp_path, drop_layers=1, weights="nf4", **options)
    assert Bundle.load(tmp_path / BUNDLE).manifest.quantization == "nf4"
    assert report.after == ranked(tmp_path / BUNDLE)


@pytest.mark.parametrize("weights", QUANTIZED)
def test_a_quantized_bundle_answers_and_refuses_changed_weights(
    deep: Path, tmp_path: Path, weights: str
) -> None:
    report = run(deep, tmp_path, weights=weights)
    path = tmp_path / BUNDLE
    recommender = Recommender.load(path)
    model = recommender.bundle.model
    assert recommender.bundle.manifest.quantization == weights
    assert report.after == ranked(path)
    assert weight_bytes(model) == report.bytes_after < report.bytes_before / 2
    assert_holds_what_was_ranked(path)
    assert model.get_output_embeddings().weight.dtype == torch.float32
    exact = Bundle.load(deep).model
    error = (logits(model) - logits(exact)).norm() / logits(exact).norm()
    assert 0 < error < (0.05 if weights == "int8" else 0.3)
    (answer,) = recommender.recommend([["i1", "i2", "i3"]], k=20)
    assert {r.item.id for r in answer} == {f"i{item}" for item in range(12)} - {"i1", "i2", "i3"}
    Bundle.load(path).save(tmp_path / "again")
    again = Recommender.load(tmp_path / "again").recommend([["i1", "i2", "i3"]], k=20)
    assert again == [answer]
    file = path / "model" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.safetensors was changed after training"):
        Bundle.load(path)


@pytest.mark.parametrize("weights", QUANTIZED)
def test_requests_to_quantized_weights_do_not_disturb_each_other(
    deep: Path, tmp_path: Path, weights: str
) -> None:
    """And the search finds what spelling out every item finds."""

    def widen(model: Any) -> None:
        """Give some states outliers, and make scores hang on small changes."""
        for layer in model.base_model.layers:
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.weight[:4] *= 4
        model.base_model.norm.weight *= 4

    run(changed(deep, tmp_path / "wide", widen), tmp_path, weights=weights, drop_layers=1)
    bundle = Bundle.load(tmp_path / BUNDLE)
    recommender = Recommender(bundle)
    histories = [["i1", "i2"], ["i9"] * 5, ["i7"], ["i3", "i4", "i5"], ["i11", "i10"]]
    together = recommender.recommend(histories, k=12, exact=True, exclude_seen=False)
    for history, answer in zip(histories, together, strict=True):
        prompt = bundle.renderer().render([bundle.catalog.position(i) for i in history]).ids
        truth = brute_force(
            runtime_for(bundle.model), prompt, bundle.spellings.tokens, [True] * 12, "lm"
        )
        for found in answer:
            expected = truth[bundle.catalog.position(found.item.id)]
            assert found.score == pytest.approx(expected, abs=1e-3)


def test_bfloat16_halves_the_weights(deep: Path, tmp_path: Path) -> None:
    report = run(deep, tmp_path, weights="bfloat16")
    assert report.bytes_after == report.bytes_before / 2
    bundle = Bundle.load(tmp_path / BUNDLE)
    assert bundle.manifest.dtype == "bfloat16"
    assert bundle.model.dtype == torch.bfloat16
    assert_holds_what_was_ranked(tmp_path / BUNDLE)
    with pytest.raises(ConfigError, match="weights that take less than bfloat16"):
        run(tmp_path / BUNDLE, tmp_path / "again", weights="bfloat16")
    assert not (tmp_path / "again").exists()


def test_bfloat16_holds_what_was_ranked_at_every_stage(tmp_path: Path) -> None:
    recipe = toy_recipe(model={"scratch": DEEP, "dtype": "bfloat16"})
    trained = train(recipe, toy_dataset(), tmp_path / "run")
    assert_holds_what_was_ranked(trained)
    run(trained, tmp_path / "small", drop_layers=1)
    assert_holds_what_was_ranked(tmp_path / "small" / BUNDLE)


def test_an_adapter_merged_in_bfloat16_is_what_was_ranked(tmp_path: Path) -> None:
    recipe = toy_recipe(
        prompt={"template": "next_item", "max_tokens": 512},
        model={"base": tiny_base(tmp_path / "base"), "adapter": "lora", "dtype": "bfloat16"},
    )
    run(train(recipe, toy_dataset(), tmp_path / "run"), tmp_path / "small")
    assert_holds_what_was_ranked(tmp_path / "small" / BUNDLE)


def test_stages_follow_each_other_until_weights_are_quantized(deep: Path, tmp_path: Path) -> None:
    run(deep, tmp_path / "a", drop_layers=1)
    run(tmp_path / "a" / BUNDLE, tmp_path / "b", drop_layers=1, weights="int8")
    manifest = Bundle.load(tmp_path / "b" / BUNDLE).manifest
    assert [stage.settings["weights"] for stage in manifest.compressions] == ["same", "int8"]
    assert manifest.name == "toy-compressed"
    with pytest.raises(ConfigError, match="is quantised: compress the one it came from"):
        run(tmp_path / "b" / BUNDLE, tmp_path / "c", weights="nf4")
    config = RefineConfig(method="dpo")
    with pytest.raises(ConfigError, match="is quantised: refine the one it came from"):
        refine(Bundle.load(tmp_path / "b" / BUNDLE), config, toy_dataset(), tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_refuses_what_cannot_be_done(deep: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to do: give drop_layers or weights"):
        run(deep, tmp_path)
    with pytest.raises(ConfigError, match="drop_layers is 4: the model has 4 layers"):
        run(deep, tmp_path, drop_layers=4)
    data = toy_dataset()
    data = Dataset(data.catalog, data.frame.filter(pl.col("split") != "valid"), data.manifest)
    with pytest.raises(ConfigError, match="the split has no validation example"):
        compress(Bundle.load(deep), CompressConfig(weights="bfloat16"), data, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("weights", QUANTIZED)
def test_refuses_to_quantize_without_bitsandbytes(
    deep: Path, tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingPackageError, match="'bitsandbytes' is not installed"):
        run(deep, tmp_path, weights=weights, drop_layers=1, heal_steps=2)
    assert not list(tmp_path.iterdir())


def test_refuses_to_drop_layers_of_an_unknown_architecture(tmp_path: Path) -> None:
    recipe = toy_recipe(model={"scratch": {**DEEP, "model_type": "gpt_neox"}})
    start = train(recipe, toy_dataset(), tmp_path / "run")
    with pytest.raises(ConfigError, match="drop_layers: knows no 'gpt_neox', only gemma3_text"):
        run(start, tmp_path / "small", drop_layers=1)
    assert not (tmp_path / "small").exists()


def test_refuses_to_replace_the_bundle_it_begins_with(deep: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(deep.parent, tmp_path / "run")
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    start = Bundle.load(folder / BUNDLE)
    smaller, better = CompressConfig(weights="bfloat16"), RefineConfig(method="dpo")
    for restart in (False, True):
        with pytest.raises(ConfigError, match="holds the bundle to begin with; choose another"):
            compress(start, smaller, toy_dataset(), folder, restart=restart)
        with pytest.raises(ConfigError, match="holds the bundle to begin with; choose another"):
            refine(start, better, toy_dataset(), folder, restart=restart)
        with pytest.raises(ConfigError, match="holds files of something else; choose another"):
            compress(start, smaller, toy_dataset(), folder / BUNDLE, restart=restart)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


def test_a_bundle_that_is_gone_is_made_again(deep: Path, tmp_path: Path) -> None:
    report = run(deep, tmp_path, weights="bfloat16")
    shutil.rmtree(tmp_path / BUNDLE)
    assert run(deep, tmp_path, weights="bfloat16") == report
    assert ranked(tmp_path / BUNDLE) == report.after


def test_a_bundle_of_before_compressions_loads(deep: Path, tmp_path: Path) -> None:
    """Its manifest lacks the field, and its seal holds."""
    bundle = shutil.copytree(deep, tmp_path / "old")
    file = bundle / "manifest.json"
    table = json.loads(file.read_text())
    assert table.pop("compressions") == []
    file.write_text(json.dumps(table))
    assert Bundle.load(bundle).manifest.compressions == ()

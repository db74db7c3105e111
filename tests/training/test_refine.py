import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Split
from rec_gen.errors import ConfigError
from tests.toy import rated, toy_dataset
from training.ranking import rank_examples
from training.rating import HeldOutRatings
from training.refine import Report, refine
from training.refine_config import RefineConfig
from training.run_folder import BUNDLE, CHECKPOINTS, REPORT

METHODS = ("dpo", "softmax-dpo", "grpo")
SHORT = {"max_steps": 4, "every_steps": 2, "batch_size": 8, "negatives": 2, "draws": 3}
RUINOUS = {"learning_rate": 1.0, "warmup_steps": 0}


def run(start: Path, folder: Path, **options: Any) -> Report:
    config = RefineConfig(**{**SHORT, **options})
    return refine(Bundle.load(start), config, toy_dataset(), folder)


def ranked(path: Path) -> dict[str, float]:
    return rank_examples(Bundle.load(path), list(toy_dataset().examples(Split.VALID)), 10, True)


@pytest.mark.parametrize("method", METHODS)
def test_a_stage_that_ranks_better_is_a_bundle(whole: Path, tmp_path: Path, method: str) -> None:
    """The toy is half trained, so that any sensible step helps."""
    report = run(whole, tmp_path, method=method, learning_rate=3e-3, max_steps=30, every_steps=10)
    assert report.better
    assert report.before == ranked(whole)
    assert report.after == ranked(tmp_path / BUNDLE)
    assert str(report).startswith(f"{method} raised the validation NDCG@10: 0.")
    start, manifest = Bundle.load(whole).manifest, Bundle.load(tmp_path / BUNDLE).manifest
    (stage,) = manifest.refinements
    assert stage.parent == start.digest
    assert stage.settings["method"] == method
    assert stage.before["ndcg@10"] == start.metrics["ndcg@10"]
    assert manifest.metrics["ndcg@10"] == report.after["ndcg@10"]
    assert set(manifest.calibration) == {"lm", "catalog"}


def test_a_stage_takes_the_auc_too(rater: Path, tmp_path: Path) -> None:
    dataset, more = rated(toy_dataset()), {"learning_rate": 3e-3, "max_steps": 30}
    options: dict[str, Any] = {**SHORT, **more, "method": "dpo", "every_steps": 10}
    config = RefineConfig(**options)
    report = refine(Bundle.load(rater), config, dataset, tmp_path)
    assert report.better
    held = HeldOutRatings(dataset, list(dataset.examples(Split.VALID)), 4.0, seed=0)
    refined = Bundle.load(tmp_path / BUNDLE)
    assert refined.manifest.metrics.items() >= held.metrics(refined).items()
    assert report.before.items() >= held.metrics(Bundle.load(rater)).items()


def test_a_bundle_that_is_gone_is_written_again(whole: Path, tmp_path: Path) -> None:
    options = {"learning_rate": 3e-3, "max_steps": 30, "every_steps": 10}
    report = run(whole, tmp_path, method="dpo", **options)
    shutil.rmtree(tmp_path / BUNDLE)
    assert run(whole, tmp_path, method="dpo", **options) == report
    assert ranked(tmp_path / BUNDLE) == report.after


@pytest.mark.parametrize("method", METHODS)
def test_a_stage_that_ranks_worse_is_said_to_and_leaves_no_bundle(
    whole: Path, tmp_path: Path, method: str
) -> None:
    report = run(whole, tmp_path, method=method, **RUINOUS)
    assert not report.better
    assert str(report).startswith(f"{method} lowered the validation NDCG@10: ")
    assert not (tmp_path / BUNDLE).exists()
    checkpoints = (tmp_path / CHECKPOINTS).stat().st_mtime_ns
    assert run(whole, tmp_path, method=method, **RUINOUS) == report
    assert (tmp_path / CHECKPOINTS).stat().st_mtime_ns == checkpoints


def mixed_up(start: Path, path: Path) -> Path:
    """An adapter whose items have each other's rows, dealt as badly as can be."""
    bundle, examples = Bundle.load(start), list(toy_dataset().examples(Split.VALID))
    rows = [each for name, each in bundle.model.named_parameters() if "trainable_tokens" in name]
    assert rows
    first, rng = [each.detach().clone() for each in rows], np.random.default_rng(0)

    def deal(order: list[int]) -> float:
        with torch.no_grad():
            for each, kept in zip(rows, first, strict=True):
                each.copy_(kept[order])
        return rank_examples(bundle, examples, 10, True)["ndcg@10"]

    deal(min((rng.permutation(len(first[0])).tolist() for _ in range(40)), key=deal))
    bundle.save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_is_refined_and_saved_alone(adapted: Path, tmp_path: Path, method: str) -> None:
    start, options = mixed_up(adapted, tmp_path / "start"), {"max_steps": 24, "every_steps": 8}
    report = run(start, tmp_path, method=method, learning_rate=3e-3, **options)
    assert report.better
    assert report.after["ndcg@10"] == pytest.approx(ranked(tmp_path / BUNDLE)["ndcg@10"], abs=1e-6)
    files = sorted(file.name for file in (tmp_path / BUNDLE / "adapter").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    before, after = (
        load_file(path / "adapter" / "adapter_model.safetensors")
        for path in (start, tmp_path / BUNDLE)
    )
    assert before.keys() == after.keys()


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_stage_ends_like_an_undisturbed_one(
    whole: Path, tmp_path: Path, method: str
) -> None:
    first, last = CHECKPOINTS + "/checkpoint-2", CHECKPOINTS + "/checkpoint-4"
    report = run(whole, tmp_path / "a", method=method)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / first).exists()
    shutil.rmtree(tmp_path / "b" / last)
    shutil.rmtree(tmp_path / "b" / BUNDLE, ignore_errors=True)
    (tmp_path / "b" / REPORT).unlink()
    assert run(whole, tmp_path / "b", method=method) == report
    runs = [load_file(tmp_path / name / last / "model.safetensors") for name in "ab"]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_stages_follow_each_other(whole: Path, tmp_path: Path) -> None:
    more = {"learning_rate": 3e-3, "max_steps": 20, "every_steps": 10}
    assert run(whole, tmp_path / "a", method="softmax-dpo", **more).better
    report = run(tmp_path / "a" / BUNDLE, tmp_path / "b", method="grpo", **more)
    assert report.better
    stages = Bundle.load(tmp_path / "b" / BUNDLE).manifest.refinements
    assert [stage.settings["method"] for stage in stages] == ["softmax-dpo", "grpo"]
    assert stages[1].parent == Bundle.load(tmp_path / "a" / BUNDLE).manifest.digest


def test_refuses_the_folder_of_another_stage(whole: Path, tmp_path: Path) -> None:
    run(whole, tmp_path, method="dpo")
    with pytest.raises(ConfigError, match=r"differs in method\): .* add --restart"):
        run(whole, tmp_path, method="softmax-dpo")


def test_says_when_too_few_items_are_left(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no history leaves 13 eligible items: lower negatives"):
        run(whole, tmp_path, method="dpo", negatives=12)
    assert not list(tmp_path.iterdir())

from pathlib import Path

from rec_gen.bundle import Bundle
from tests.toy import toy_dataset, toy_recipe
from training.sft import train


def test_training_calibrates_both_scores(tmp_path: Path) -> None:
    bundle = Bundle.load(train(toy_recipe(train={"max_steps": 30}), toy_dataset(), tmp_path))
    assert set(bundle.manifest.calibration) == {"lm", "catalog"}
    metrics = bundle.manifest.metrics
    for score in ("lm", "catalog"):
        assert 0 <= metrics[f"calibration_error_{score}"] < 0.2
        assert f"calibration_error_{score}_raw" in metrics

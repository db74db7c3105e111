import sys
from importlib import import_module
from pathlib import Path

import pytest

from rec_gen.bundle import Bundle
from rec_gen.errors import ConfigError, MissingPackageError
from tests.toy import toy_dataset, toy_recipe
from training.refine import refine
from training.refine_config import RefineConfig
from training.sft import train
from training.tracking import tracking


@pytest.fixture
def mlflow_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    uri = (tmp_path / "mlflow").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return uri


def logged(store: str, name: str) -> list[float]:
    """The validation NDCG@10 of the only run of a name, as MLflow holds it."""
    from mlflow import MlflowClient

    client = MlflowClient(store)
    (run,) = [run for run in client.search_runs(["0"]) if run.info.run_name == name]
    assert run.info.status == "FINISHED"
    return [each.value for each in client.get_metric_history(run.info.run_id, "eval_ndcg_10")]


def test_mlflow_is_told_of_training_and_refinement(mlflow_store: str, tmp_path: Path) -> None:
    recipe = toy_recipe(track=["mlflow"])
    bundle = Bundle.load(train(recipe, toy_dataset(), tmp_path / "run"))
    assert max(logged(mlflow_store, "run")) == bundle.manifest.metrics["ndcg@10"]
    assert "track" not in bundle.manifest.recipe
    config = RefineConfig(method="dpo", max_steps=2, every_steps=1, track=("mlflow",))
    refine(bundle, config, toy_dataset(), tmp_path / "refined")
    assert len(logged(mlflow_store, "refined")) == 2


def test_without_a_uri_mlflow_keeps_a_database_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    bundle = Bundle.load(train(toy_recipe(track=["mlflow"]), toy_dataset(), tmp_path / "run"))
    found = logged(f"sqlite:///{tmp_path / 'mlflow.db'}", "run")
    assert max(found) == bundle.manifest.metrics["ndcg@10"]


def test_a_package_that_a_tracker_lacks_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alembic", None)
    with (
        pytest.raises(MissingPackageError, match=r"'alembic' .*rec_gen\[track\]"),
        tracking(["mlflow"]),
    ):
        import_module("alembic")
    with pytest.raises(ImportError), tracking([]):
        import_module("alembic")


@pytest.mark.usefixtures("mlflow_store")
def test_a_run_goes_on_with_another_tracker(tmp_path: Path) -> None:
    written = train(toy_recipe(), toy_dataset(), tmp_path / "run")
    assert train(toy_recipe(track=["mlflow"]), toy_dataset(), tmp_path / "run") == written


def test_wandb_gets_a_run_of_each_training_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MODE": "offline", "DIR": str(tmp_path), "SILENT": "true"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    for run in ("one", "two"):
        train(toy_recipe(track=["wandb"]), toy_dataset(), tmp_path / run)
    records = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert [b"eval/ndcg@10" in record.read_bytes() for record in records] == [True, True]


def test_what_a_tracker_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://")
    with pytest.raises(ConfigError, match=r"^track: mlflow refuses this run: .*nowhere") as caught:
        train(toy_recipe(track=["mlflow"]), toy_dataset(), tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_tracker_that_is_not_installed_is_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.tracking.find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=r"'wandb' .*rec_gen\[track\]"):
        train(toy_recipe(track=["wandb"]), toy_dataset(), tmp_path / "run")
    assert not (tmp_path / "run").exists()

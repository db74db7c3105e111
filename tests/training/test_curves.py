import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rec_gen.bundle import Bundle
from rec_gen.cli import main
from rec_gen.errors import ConfigError, DataError
from tests.toy import toy_dataset, toy_recipe
from training.curves import Curves, Validation, curves_table, draw_curves, read_curves
from training.refine import refine
from training.refine_config import RefineConfig
from training.run_folder import BUNDLE
from training.sft import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(
        toy_recipe(train={"max_steps": 30}, validation={"every_steps": 10}), toy_dataset(), folder
    )
    return folder


def test_reads_what_the_trainer_logged(run: Path) -> None:
    curves = read_curves(run)
    assert [row.step for row in curves.validations] == [10, 20, 30]
    assert [row.loss for row in curves.validations] == [line.value for line in curves.losses]
    assert [row.tokens for row in curves.validations] == [line.tokens for line in curves.losses]
    assert curves.losses[-1].value < curves.losses[0].value
    assert max(row.ndcg for row in curves.validations) > 0


def test_each_loss_is_the_mean_since_the_validation_before(tmp_path: Path) -> None:
    recipe = toy_recipe(train={"max_steps": 9}, validation={"every_steps": 4})
    train(recipe, toy_dataset(), tmp_path)
    curves = read_curves(tmp_path)
    assert [line.step for line in curves.losses] == [2, 4, 6, 8]
    assert [row.step for row in curves.validations] == [4, 8, 9]
    values = [line.value for line in curves.losses]
    means = [sum(values[:2]) / 2, sum(values[2:]) / 2, None]
    assert [row.loss for row in curves.validations] == means


@pytest.mark.parametrize("method", ["dpo", "grpo"])
def test_a_refinement_is_drawn_over_its_steps(run: Path, tmp_path: Path, method: str) -> None:
    options = {"max_steps": 4, "every_steps": 2, "batch_size": 8, "negatives": 2, "draws": 3}
    config = RefineConfig.model_validate({"method": method, **options})
    refine(Bundle.load(run / BUNDLE), config, toy_dataset(), tmp_path / "refined")
    curves = read_curves(tmp_path / "refined")
    assert [(row.step, row.tokens, row.validation_loss) for row in curves.validations] == [
        (2, None, None),
        (4, None, None),
    ]
    plot = tmp_path / "curves.svg"
    names = [str(run), str(tmp_path / "refined")]
    result = CliRunner().invoke(main, ["curves", *names, "--plot", str(plot)])
    assert result.exit_code == 0, result.output
    text = plot.read_text(encoding="utf-8")
    assert "<!-- step -->" in text
    assert "<!-- tokens read -->" not in text
    assert f"<!-- {names[1]} -->" in text
    assert f"<!-- {names[1]}, validation -->" not in text


def test_only_the_step_that_is_kept_is_marked() -> None:
    rows = [Validation(step, 1, 1.0, 1.0, ndcg, 1.0) for step, ndcg in enumerate([0.1, 0.2, 0.2])]
    table = curves_table("run", Curves([], rows))
    assert [row.style for row in table.rows] == [None, "bold", None]


def test_the_command_prints_and_draws(run: Path, tmp_path: Path) -> None:
    plots = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for plot in plots:
        result = CliRunner().invoke(main, ["curves", str(run), "--plot", str(plot)])
        assert result.exit_code == 0, result.output
        assert "NDCG@10" in result.output
    first, second = (plot.read_text(encoding="utf-8") for plot in plots)
    assert first.startswith("<?xml")
    assert "<!-- tokens read -->" in first
    assert first == second
    draw_curves({"run": read_curves(run)}, tmp_path / "a.pdf")
    assert b"/CreationDate" not in (tmp_path / "a.pdf").read_bytes()


def written(run: Path, state: Any) -> Path:
    """The state of a trainer, as the checkpoint of a run has it."""
    checkpoint = run / "checkpoints" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / "rng_state.pth").touch()
    file = checkpoint / "trainer_state.json"
    file.write_text(json.dumps(state))
    return file


def test_a_loss_that_is_no_number_is_read(tmp_path: Path) -> None:
    written(tmp_path, {"log_history": [{"step": 2, "loss": math.nan, "grad_norm": math.inf}]})
    (line,) = read_curves(tmp_path).losses
    assert math.isnan(line.value)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({}, "key 'log_history': Field required"),
        ([], r"key '\(top level\)': "),
        ({"log_history": [{"loss": 1.0}]}, r"key 'log_history\.0\.step': Field required"),
        ({"log_history": [{"step": 1, "loss": "much"}]}, r"key 'log_history\.0\.loss': "),
        ({"log_history": [{"step": 1, "eval_ndcg@10": 0.1}]}, "holds one of eval_ndcg@10 and "),
    ],
)
def test_a_broken_log_is_one_line_that_names_it(tmp_path: Path, state: Any, told: str) -> None:
    file = written(tmp_path, state)
    with pytest.raises(DataError, match=f"^{re.escape(str(file))}: .*{told}") as caught:
        read_curves(tmp_path)
    assert "\n" not in str(caught.value)


def test_says_what_is_wrong(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run that reached a validation"):
        read_curves(tmp_path)
    with pytest.raises(ConfigError, match=r"curves\.mp7: the ending of an image must be one of"):
        draw_curves({"run": read_curves(run)}, tmp_path / "curves.mp7")
    assert not list(tmp_path.iterdir())

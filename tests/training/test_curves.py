from pathlib import Path

import pytest
from click.testing import CliRunner

from rec_gen.cli import main
from rec_gen.errors import ConfigError
from tests.toy import toy_dataset, toy_recipe
from training.curves import draw_curves, read_curves
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


def test_the_command_prints_and_draws(run: Path, tmp_path: Path) -> None:
    plots = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for plot in plots:
        result = CliRunner().invoke(main, ["curves", str(run), "--plot", str(plot)])
        assert result.exit_code == 0, result.output
        assert "NDCG@10" in result.output
    first, second = (plot.read_text(encoding="utf-8") for plot in plots)
    assert first.startswith("<?xml")
    assert first == second


def test_says_what_is_wrong(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run that reached a validation"):
        read_curves(tmp_path)
    with pytest.raises(ConfigError, match=r"curves\.mp7: the ending of an image must be one of"):
        draw_curves({"run": read_curves(run)}, tmp_path / "curves.mp7")
    assert not list(tmp_path.iterdir())

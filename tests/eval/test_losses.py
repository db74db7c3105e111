import json
import re
from pathlib import Path

from click.testing import CliRunner

from eval.benchmarks.losses import curve, main, tokens_until
from tests.toy import toy_dataset
from training.recipe import recipe_path


def test_a_curve_is_read_from_the_validations() -> None:
    log = [
        {"loss": 1.0, "num_input_tokens_seen": 5},
        {"eval_ndcg@10": 0.1, "eval_loss": 1.0, "num_input_tokens_seen": 10},
        {"eval_ndcg@10": 0.3, "eval_loss": 1.0, "num_input_tokens_seen": 20},
    ]
    points = curve({"log_history": log})
    assert points == [(10, 0.1), (20, 0.3)]
    assert tokens_until(points, 0.2) == 20
    assert tokens_until(points, 0.4) is None


def test_compares_two_short_runs(tmp_path: Path) -> None:
    file, recipe, data = (tmp_path / name for name in ("losses.json", "toys.toml", "data"))
    data.mkdir()
    toy_dataset().save(data)
    text = recipe_path("quickstart").read_text(encoding="utf-8")
    recipe.write_text(re.sub("^source = .*$", f'prepared = "{data}"', text, flags=re.MULTILINE))
    options = ["--recipe", str(recipe), "--out", str(tmp_path), "--json", str(file)]
    options += ["--steps", "2", "--times", "1"]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    record = json.loads(file.read_text())
    every, last = record["curves"]["every-item"], record["curves"]["last-item"]
    assert len(every) == len(last) == 2
    assert every[-1][0] > every[0][0] > 0
    assert set(record["figures"]) >= {"fewer_tokens", "every_item_ndcg10", "last_item_ndcg10"}

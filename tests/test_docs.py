"""What docs/prompts.md shows is what the package takes."""

import re
import tomllib
from pathlib import Path

import pytest

from eval.experiment_config import ExperimentConfig
from rec_gen.config import parse_config
from rec_gen.errors import ConfigError
from rec_gen.lint import lint
from rec_gen.slots import NEEDS

TEXT = (Path(__file__).parent.parent / "docs" / "prompts.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    return str(found)


def test_the_template_is_clean(tmp_path: Path) -> None:
    file = tmp_path / "shown.jinja"
    file.write_text(block("jinja"))
    assert lint(str(file)) == "ok, version 1, not recorded, reads genres, spelling"


def test_the_experiment_has_the_arms_that_it_speaks_of() -> None:
    table = tomllib.loads(block("toml"))
    config = parse_config(ExperimentConfig, table)
    assert [arm.name for arm in config.arms] == [
        f"{name} / {length}" for name in ("next_item", "next_item_direct") for length in (10, 30)
    ]
    with pytest.raises(ConfigError, match="key 'baseline'"):
        parse_config(ExperimentConfig, {**table, "history": [10]})


def test_every_slot_is_described() -> None:
    for slot, need in NEEDS.items():
        (row,) = [line for line in TEXT.splitlines() if re.match(rf"\| `(item\.)?{slot}` ", line)]
        assert row.endswith(f"| {need} |")

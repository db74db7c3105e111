"""The rules of docs/architecture.md that a machine can keep."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import rec_gen
from eval.experiment_config import ExperimentConfig
from rec_gen.config import load_config
from rec_gen.lint import lint
from rec_gen.templates import template_names
from training.recipe import Recipe

ROOT = Path(__file__).parent.parent
PACKAGES = ("prompts", "rec_gen", "training", "serving", "eval")
SOURCES = sorted(file for name in PACKAGES for file in (ROOT / name).rglob("*.py"))
HEAVY = {
    "accelerate", "bitsandbytes", "datasets", "fastapi", "flwr", "opacus", "peft",
    "presidio_analyzer", "ray", "scipy", "sentence_transformers", "sklearn", "spacy", "sqlalchemy",
    "torch", "transformers", "trl", "uvicorn", "vllm",
}  # fmt: skip


def test_lists_need_no_package_of_an_extra() -> None:
    absent = ("sklearn", "trl", "peft", "datasets", "fastapi", "matplotlib")
    script = f"import sys\nsys.modules.update(dict.fromkeys({absent}))\nimport rec_gen.remote"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    "statement",
    [
        "import rec_gen",
        "import rec_gen.cli",
        "from rec_gen import DataConfig",
        "import rec_gen.prompting",
        "import training.recipe",
        "import training.federated.config",
        "import eval.experiment_config",
        "import serving.batch.config",
        "import serving.config",
        "import serving.keys",
    ],
)
def test_light_modules_load_nothing_heavy(statement: str) -> None:
    script = f"{statement}\nimport sys\nprint(*sys.modules, sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in loaded)


def test_a_server_starts_before_what_runs_a_model_is_loaded() -> None:
    script = "import sys, serving.server, serving.engines\nprint(*sys.modules, sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "rec_gen.bundle" in loaded
    assert not {"rec_gen.recommender", "transformers", "vllm"}.intersection(loaded)


def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_public_names_import_and_are_listed_once() -> None:
    assert len(set(rec_gen.__all__)) == len(rec_gen.__all__)
    assert set(rec_gen.__all__) == set(rec_gen._HOMES)
    for name in rec_gen.__all__:
        assert getattr(rec_gen, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'Recomender'"):
        rec_gen.Recomender  # noqa: B018


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_modules_import_and_public_names_are_documented(file: Path) -> None:
    parts = file.relative_to(ROOT).with_suffix("").parts
    try:
        importlib.import_module(".".join(parts).removesuffix(".__init__"))
    except ModuleNotFoundError as error:
        if error.name != "vllm":
            raise
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_is_long(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("recipe", sorted((ROOT / "training" / "recipes").glob("*.toml")))
def test_recipes_load(recipe: Path) -> None:
    assert load_config(Recipe, recipe).name == recipe.stem


@pytest.mark.parametrize("file", sorted((ROOT / "eval" / "experiments").glob("*.toml")))
def test_experiments_load(file: Path) -> None:
    assert load_config(ExperimentConfig, file).name == file.stem


@pytest.mark.parametrize("name", template_names())
def test_templates_are_clean(name: str) -> None:
    assert lint(name).startswith("ok")

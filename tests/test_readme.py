"""Every command of the README runs: here, or as a target of make in CI."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset
from tests.talk import talk_dataset
from tests.toy import toy_dataset
from tests.warm import Warm, warm
from training.recipe import recipe_path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
STEPS = ["--set", "max_steps=2", "--set", "every_steps=2"]
FEW = [*STEPS, "--set", "users=4", "--set", "batch_size=4"]
SHORTER = {
    "train": FEW,
    "launch": FEW,
    "refine": STEPS,
    "benchmark": [*STEPS, "--seeds", "1"],
    "experiment": ["--set", "users=2", "--set", "score=catalog"],
}
"""Added to each command that takes long: the command is tested, not the model."""


LARGE = ("quickstart", "industrial", "beauty", "opendialkg")
"""Recipes whose data sets take long to be ranked by `recgen benchmark`: it gets a small one."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


def test_make_targets_run_in_ci() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    targets = [command for command in COMMANDS if command.startswith("make ")]
    assert COMMANDS[:2] == targets == ["make quickstart", "make test"]
    assert set(targets) <= set(script)


@pytest.fixture(scope="module")
def place(movielens: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README's reader has it: a trained quickstart, recipes, own tables.

    The quickstart learnt of a tenth of the users, so that commands on all of them are short.
    """
    folder = tmp_path_factory.mktemp("reader")
    tenth = movielens.frame.filter(pl.col("user").cast(pl.Int64) <= 94)
    (folder / "tenth").mkdir()
    Dataset(movielens.catalog, tenth, movielens.manifest).save(folder / "tenth")
    for name in ("training", "eval"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "shop.toml").write_text(blocks("toml")[0])
    sales = [f"c{row // 5},p{(row // 5 + row) % 6},{row * 3600}" for row in range(60)]
    (folder / "sales.csv").write_text("\n".join(["customer,sku,sold_at", *sales]))
    products = [f"p{product},Product {product},{'ab'[product % 2]}" for product in range(6)]
    (folder / "products.csv").write_text("\n".join(["sku,name,category", *products]))
    users = pl.DataFrame({"user": [1, 2, 3], "history": [["50"], ["172", "181"], ["1"]]})
    users.write_parquet(folder / "users.parquet")
    data = ["--data", str(folder / "tenth")]
    execute(folder, ["recgen", "train", "quickstart", *data, *SHORTER["train"]])
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "100"}


def execute(folder: Path, command: list[str]) -> str:
    tool = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [tool, *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(),
        input="something with Ada Amber\n",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def execute_again(folder: Path, process: Warm, command: list[str]) -> str:
    """What the command prints, where another of its kind has run as a reader runs it."""
    done = process.execute(folder, command[1:])
    assert done.returncode == 0, done.stderr
    return done.stdout


def serve_for_a_while(folder: Path, command: list[str]) -> str:
    """Start a server on a free port, and end it as soon as it listens; what it logged."""
    tool = Path(sys.executable).with_name(command[0])
    with subprocess.Popen(
        [tool, *command[1:], "--port", "0"], cwd=folder, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        lines = []
        for line in server.stderr:
            lines.append(line)
            if '"listening"' in line:
                server.terminate()
    assert server.returncode == 0, "".join(lines)
    return "".join(lines)


def coloured_toys() -> Dataset:
    toy = toy_dataset()
    colours = pl.Series("brand", ["red", "green", "blue"] * (len(toy.catalog) // 3))
    items = toy.catalog.frame.with_columns(colours, title=colours + " toy", description=colours)
    return Dataset(Catalog(items), toy.frame, toy.manifest)


def on_few_items(folder: Path, command: list[str]) -> list[str]:
    """The command with its recipe's data set replaced by a small one, where that is large."""
    if len(command) < 3 or command[1] != "benchmark" or command[2] not in LARGE:
        return command
    data, recipe = folder / f"small-{command[2]}", folder / f"{command[2]}.toml"
    data.mkdir()
    small = talk_dataset(data) if command[2] == "opendialkg" else coloured_toys()
    small.save(data)
    text = recipe_path(command[2]).read_text(encoding="utf-8")
    recipe.write_text(re.sub("^source = .*$", f'prepared = "{data}"', text, flags=re.MULTILINE))
    return [*command[:2], str(recipe), *command[3:]]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_commands_and_code_run(place: Path) -> None:
    commands = [shlex.split(command) for command in COMMANDS]
    tools = ("recgen", "accelerate")
    ran = [command for command in commands if command[0] in tools]
    others = [command for command in commands if command[0] not in (*tools, "make")]
    assert others == [["source", ".venv/bin/activate"]]
    begun = {"train"}  # which made the place
    with warm(environment()) as process:
        for command in ran:
            if command[1] == "serve":
                assert '"listening"' in serve_for_a_while(place, command)
                continue
            job = command[2] if command[1] == "prompts" else command[1]
            short = on_few_items(place, [*command, *SHORTER.get(job, [])])
            if job in begun:
                assert execute_again(place, process, short)
            else:
                assert execute(place, short)
            begun.add(job)
    code = "\n".join(blocks("python"))
    assert len(execute(place, ["python", "-c", code]).splitlines()) == 11

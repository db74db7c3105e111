import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from eval.benchmarks import compression
from eval.benchmarks.compression import ORIGINAL, Jury, Kitchen, disk_bytes, race, smallest, speeds
from eval.intervals import Interval
from rec_gen.cli.training import load_recipe, run_training
from rec_gen.counts import MarkovKNN
from rec_gen.data.config import DataConfig
from rec_gen.data.prepare import load_dataset
from rec_gen.errors import RecGenError
from rec_gen.recommender import Recommender


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a small shop."""
    return shop_bundle(tmp_path_factory.mktemp("shop"), "float32", layers=2)


def shop_bundle(folder: Path, dtype: str, layers: int) -> Path:
    rng = np.random.default_rng(0)
    rows = [f"u{user},p{rng.integers(8)},{step}" for user in range(12) for step in range(6)]
    (folder / "log.csv").write_text("\n".join(["user,item,time", *rows, ""]))
    items = [f"p{item},Product {item}" for item in range(8)]
    (folder / "items.csv").write_text("\n".join(["item,title", *items, ""]))
    file = folder / "shop.toml"
    file.write_text(
        f'[interactions]\npath = "{folder}/log.csv"\n[items]\npath = "{folder}/items.csv"\n'
    )
    shape = [f"model.dtype={dtype}", f"model.scratch.num_hidden_layers={layers}"]
    recipe = load_recipe("quickstart", str(file), ["max_steps=4", "every_steps=2", *shape])
    assert isinstance(recipe.data, DataConfig)
    return run_training(recipe, load_dataset(recipe.data), folder / "run", restart=False)


@pytest.mark.slow
def test_a_smaller_model_is_made_ranked_and_timed(trained: Path, tmp_path: Path) -> None:
    kitchen = Kitchen(trained, tmp_path, heal_steps=2)
    kitchen.make("int8", "--weights", "int8")
    recommenders = {name: Recommender.load(path) for name, path in kitchen.bundles.items()}
    assert list(recommenders) == [ORIGINAL, "int8"]
    jury = Jury(recommenders[ORIGINAL], users=5)
    assert len(jury.examples) == 5
    found = {name: jury.judge(each, name) for name, each in recommenders.items()}
    assert found[ORIGINAL].change == Interval(0, 0, 0)
    for quality in (found["int8"], jury.judge(MarkovKNN().fit(jury.dataset), "counted")):
        expected = quality.ndcg.mean - found[ORIGINAL].ndcg.mean
        assert quality.change.mean == pytest.approx(expected)
    taken = speeds(recommenders, jury, rounds=1)
    assert taken.keys() == recommenders.keys()
    assert min(min(pair) for pair in taken.values()) > 0
    assert 0 < disk_bytes(kitchen.bundles["int8"]) < disk_bytes(trained)
    with pytest.raises(RecGenError, match="none: the compression failed"):
        kitchen.make("none")


def test_contestants_take_turns_after_a_first_one_each() -> None:
    order: list[str] = []
    found = race({name: lambda name=name: order.append(name) for name in "ab"}, 2)  # type: ignore[misc]
    assert order == list("ababab")
    assert found.keys() == {"a", "b"}


def test_the_smallest_weights_that_rank_no_worse_are_chosen(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender = Recommender.load(trained)
    fine, worse = Interval(-0.01, -0.02, 0.01), Interval(-0.01, -0.02, -0.001)
    some = Interval(0.1, 0.0, 0.2)

    def choose(*changes: Interval) -> str | None:
        pairs = zip(compression.WEIGHTS, changes, strict=True)
        found = {name: compression.Quality(some, some, change) for name, change in pairs}
        sizes = iter(range(9, 0, -1))
        monkeypatch.setattr(compression, "weight_bytes", lambda _: next(sizes))
        return smallest(dict.fromkeys(compression.WEIGHTS, recommender), found)

    assert choose(fine, fine, fine) == "nf4"
    assert choose(fine, fine, worse) == "int8"
    assert choose(worse, worse, worse) is None


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["none"], 1, "recgen: none: is not a bundle: manifest.json cannot be read"),
        (["none", "--users", "-1"], 2, "-1 is not in the range x>=1"),
        (["none", "--rounds", "0"], 2, "0 is not in the range x>=1"),
        (["none", "--heal-steps", "0"], 2, "0 is not in the range x>=1"),
    ],
)
def test_bad_input_is_one_line(options: list[str], code: int, message: str) -> None:
    result = CliRunner().invoke(compression.main, options)
    assert result.exit_code == code
    assert message in result.output


@pytest.mark.slow
def test_ways_that_would_change_nothing_are_left_out(tmp_path: Path) -> None:
    """A layer alone cannot be dropped, and bfloat16 weights are no smaller in bfloat16."""
    start, file = shop_bundle(tmp_path, "bfloat16", layers=1), tmp_path / "figures.json"
    options = ["--rounds", "1", "--users", "5", "--json", str(file)]
    result = CliRunner().invoke(compression.main, [str(start), *options])
    assert result.exit_code == 0, result.output
    variants = json.loads(file.read_text())["variants"]
    assert list(variants) == [ORIGINAL, "int8", "nf4", MarkovKNN.name]

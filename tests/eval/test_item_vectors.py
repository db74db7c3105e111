"""The weights of item vectors, and what models of other vectors score."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from eval.benchmarks.item_vectors import (
    ARMS,
    CHOSEN,
    REFERENCE,
    arms_of,
    measure,
    parts_of,
    print_figures,
    train_arms,
    weigh,
    with_vectors,
)
from eval.item_weights import GRID, choose_weights
from rec_gen.cli import main as recgen
from rec_gen.data.dataset import Dataset, Example
from rec_gen.errors import ConfigError
from rec_gen.recommender import Recommender
from tests.eval.test_cold import ring
from tests.toy import toy_recipe


def test_a_source_of_noise_weighs_little_and_a_telling_one_much() -> None:
    generator = np.random.default_rng(0)
    telling, noise = np.eye(40, dtype=np.float32), generator.normal(size=(40, 8))
    telling = np.repeat(telling[:20], 2, axis=0)  # each item and the next are alike
    parts = {"first": noise.astype(np.float32), "telling": telling}
    examples = [Example("u", np.array([2 * row], np.int32), 2 * row + 1) for row in range(20)]
    found = choose_weights(parts, examples, seed=0)
    assert found.weights["first"] == 1
    assert found.weights["telling"] > 1
    assert found.ndcg > found.equal
    assert {"first": 1.0, "telling": 1.0} in [weights for weights, _ in found.tried]
    turned = choose_weights(dict(reversed(parts.items())), examples, seed=0)
    assert turned.weights["first"] < 1


def test_what_changes_nothing_stays_at_one() -> None:
    same = np.eye(6, dtype=np.float32)
    examples = [Example("u", np.array([0], np.int32), 0)]
    assert choose_weights({"a": same, "b": same}, examples, 0).weights == {"a": 1.0, "b": 1.0}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The ring with vectors of its titles."""
    folder = tmp_path_factory.mktemp("vectors")
    with_vectors(ring(), ["title"]).save(folder)
    return Dataset.load(folder)


def test_arms_are_measured_beside_counted_baselines(
    prepared: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = parts_of(prepared, seed=0)
    weighing = weigh(prepared, parts, seed=0)
    weights = arms_of(weighing.weights)
    steps = ["train.max_steps=2", "validation.every_steps=2", "spelling.codes=4"]
    (bundle,) = train_arms(prepared, {CHOSEN: weights[CHOSEN]}, tmp_path, steps).values()
    with pytest.raises(ConfigError, match="has runs of other data"):
        train_arms(ring(), {}, tmp_path, steps)
    spelled = Recommender.load(bundle).bundle.manifest.recipe["spelling"]
    assert spelled["weights"] == weights[CHOSEN]
    bundles = {REFERENCE: bundle, CHOSEN: bundle}
    found = measure(prepared, parts, weights, bundles, codes=4, seed=0)
    arms, models = [*ARMS, CHOSEN], [f"model, {REFERENCE}", f"model, {CHOSEN}"]
    assert list(found["systems"]) == ["popularity", "Markov + KNN", *arms, *models]
    assert found[f"less {REFERENCE}"][models[1]]["ndcg@10"]["mean"] == 0
    assert found["systems"]["Markov + KNN"]["recall@10"]["mean"] > 0.5
    assert list(found["codes"]) == arms
    assert all(each["bits_1"] >= 0 for each in found["codes"].values())
    if weighing.weights == dict.fromkeys(parts, 1.0):
        assert found["systems"][arms[-1]] == found["systems"][arms[-2]]
    print_figures({**found, "weights": weighing.weights})
    assert "Markov + KNN" in capsys.readouterr().out


def test_the_command_prints_a_line_for_the_recipe(prepared: Dataset, tmp_path: Path) -> None:
    prepared.save(tmp_path)
    sources = 'spelling.sources=["cooccurrence", "vectors:title_vector"]'
    asked = ["weigh", "industrial", "--data", str(tmp_path), "--set", sources]
    result = CliRunner().invoke(recgen, asked)
    assert result.exit_code == 0, result.output
    *tried, equal, line = result.output.splitlines()
    assert line.startswith('weights = { "cooccurrence" = 1, "vectors:title_vector" = ')
    assert equal.startswith("equal weights have 0.")
    assert len(tried) == len(GRID)
    assert pl.Series([float(each.split()[2].rstrip(":")) for each in tried]).is_sorted()


def test_an_encoder_of_no_source_is_refused() -> None:
    spelling = {"sources": ["text:note"], "encoders": {"note": "a", "cover": "b"}}
    with pytest.raises(ConfigError, match="no source is text:cover or image:cover; remove it"):
        toy_recipe(spelling=spelling)
    toy_recipe(spelling=spelling, model={"embed": ["image:cover"]})

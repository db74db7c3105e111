"""The benchmark of several catalogs, on a small bundle."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from eval.benchmarks import domains
from eval.benchmarks.domains_counts import TextNeighbours
from rec_gen.bundle import Bundle
from rec_gen.cli.training import load_recipe


def test_models_and_counts_are_compared(several_catalogs: Path, tmp_path: Path) -> None:
    Bundle.load(several_catalogs).domain("read").save(tmp_path / "alone")
    texts = np.eye(12, dtype=np.float32)
    cell = domains.measure("read", 0.5, several_catalogs, tmp_path / "alone", texts)
    assert (cell.users, cell.shared) == (12, 2)
    counted = ("popularity", "Markov + KNN")
    carried = tuple(f"{name}, source carried" for name in counted)
    both = {domains.WITH, domains.ALONE_ROW}
    assert set(cell.systems) == {*both, *counted, *carried, "text neighbours"}
    assert cell.systems[domains.WITH] == cell.systems[domains.ALONE_ROW]
    assert cell.differences[domains.ALONE_ROW]["ndcg@10"].p_holm == 1
    unseen = domains.measure("new", 0.0, several_catalogs, None, texts)
    kept = tmp_path / "cells" / "new-0.json"
    kept.parent.mkdir()
    kept.write_bytes(TypeAdapter(domains.Cell).dump_json(unseen))
    found = domains.measured(tmp_path, "new", 0.0, several_catalogs, None)
    assert found.systems == unseen.systems
    assert (unseen.users, unseen.shared) == (0, 0)
    assert set(unseen.systems) == {domains.WITH, "chance", "text neighbours"}
    # 4 of 12 items are left to choose from, once the 8 of a ring's walk are seen, or none
    assert 0 < unseen.systems["chance"]["ndcg@10"].mean < 1
    assert f"read 0.5 {domains.WITH}" in domains.figures([cell, unseen])


def test_neighbours_are_near_the_latest_items() -> None:
    near = TextNeighbours(np.array([[2.0, 0], [0, 3], [1, 1], [0, 0]], np.float32))
    (scores,) = near.score([np.array([1, 0], np.int32)])
    assert scores == pytest.approx([1, 0.8, 1.8 / 2**0.5, 0])


@pytest.mark.parametrize("target", [None, *domains.LEARNT])
def test_the_settings_are_what_a_recipe_takes(target: str | None) -> None:
    recipe = load_recipe(domains.RECIPE, target, domains.settings(0.1, target, 7))
    assert recipe.train.max_steps == 7
    if target:
        assert (recipe.data.name, recipe.data.share, recipe.domains) == (target, 0.1, ())
        assert recipe.spelling.text == tuple(domains.TEXT[target])
    else:
        shares = {domain.name: (domain.data.share, domain.weight) for domain in recipe.domains}
        assert shares == dict.fromkeys(domains.LEARNT, (0.1, domains.WEIGHTS[0.1]))

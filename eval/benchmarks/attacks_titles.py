"""Titles that push items of the tail, where a model embeds items by the text of their titles.

Nothing of this can move a recommender that reads no titles, such as the counted one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.attack_profiles import Positions, popularity, tail_items
from eval.attack_titles import DRESSES, STUFFING, Dress, dressed, retitle
from eval.benchmarks.attacks_runs import (
    K,
    differences,
    exposure,
    measured,
    rank_bundle,
    train,
)
from eval.lists import RankedLists
from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset, Split
from rec_gen.metrics import Floats, ndcg
from rec_gen.title_screening import mend_titles, screen_titles

TARGETS = 8
"""Items that are pushed by each kind of title; all kinds are in one catalog."""
SETTINGS: Mapping[str, object] = {"model.embed": ["text"]}
HONEST, PERTURBED = "honest titles", "attacked, perturbation"


def targets_of(dataset: Dataset, seed: int) -> dict[Dress, Positions]:
    """The items that each kind of title pushes, by kind int64 [TARGETS], all different."""
    drawn = tail_items(dataset, TARGETS * len(DRESSES), seed + 1)
    return dict(zip(DRESSES, np.split(drawn, len(DRESSES)), strict=True))


def attack(dataset: Dataset, targets: Mapping[Dress, Positions]) -> Catalog:
    """The catalog in which each target has a title of its kind; each imitates other films."""
    titles = dataset.catalog.titles
    top = np.argsort(-popularity(dataset), kind="stable")
    changed = {
        int(target): dressed(
            kind, titles[target], [titles[place] for place in np.roll(top[:50], -index)[:STUFFING]]
        )
        for kind, positions in targets.items()
        for index, target in enumerate(positions)
    }
    return retitle(dataset.catalog, changed)


def catalogs(dataset: Dataset, targets: Mapping[Dress, Positions]) -> dict[str, Catalog]:
    """What each arm reads."""
    attacked = attack(dataset, targets)
    screened = mend_titles(attacked, screen_titles(attacked))
    return {
        HONEST: dataset.catalog,
        "attacked": attacked,
        "attacked, screening": screened,
        PERTURBED: attacked,
    }


def rows(
    found: Mapping[str, Mapping[Dress, Floats]], users: Sequence[str], seed: int
) -> dict[str, Any]:
    """By kind of title and arm: the measures, and their change from honest titles."""
    table: dict[str, Any] = {}
    for kind in DRESSES:
        by_arm = {arm: each[kind] for arm, each in found.items()}
        changes = differences(by_arm, HONEST, users, seed)
        table[kind] = {
            arm: measured(each, users, seed) | changes.get(arm, {}) for arm, each in by_arm.items()
        }
    return table


def values(lists: RankedLists, targets: Mapping[Dress, Positions]) -> dict[Dress, Floats]:
    """By kind float64 [n, 2]: each user's exposure to its targets, and NDCG."""
    scored = ndcg(lists.ranks, K)
    return {kind: np.stack([exposure(lists, targets[kind]), scored], 1) for kind in targets}


def run(
    dataset: Dataset, folder: Path, steps: int, seed: int, perturbation: float
) -> dict[str, Any]:
    """By kind of title, the exposure before and after it, and with each defence.

    Args:
        dataset: The data.
        folder: Where the runs are kept.
        steps: Of each training; the model is trained anew on the changed titles.
        seed: Of everything that is drawn.
        perturbation: `train.adversarial` of the perturbed model.
    """
    targets = targets_of(dataset, seed)
    examples = list(dataset.examples(Split.TEST))
    found = {}
    for arm, catalog in catalogs(dataset, targets).items():
        settings = {**SETTINGS, "train.adversarial": perturbation} if arm == PERTURBED else SETTINGS
        data = Dataset(catalog, dataset.frame, dataset.manifest, dataset.user_frame)
        place = folder / f"titles-{arm.replace(' ', '-').replace(',', '')}"
        bundle = train(data, place, steps, seed, settings)
        found[arm] = values(rank_bundle(bundle, examples), targets)
    return rows(found, [example.user for example in examples], seed)

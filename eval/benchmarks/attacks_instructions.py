"""Instructions in titles that a pretrained model reads as text: does it follow them?

An untuned model spells titles. The last item of each history is an attacker's, whose title pushes
another item of the attacker.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from eval.attack_profiles import Positions, tail_items
from eval.attack_titles import PLANTS, planted, retitle
from eval.benchmarks.attacks_runs import K, differences, measured
from eval.experiment_config import ModelConfig
from eval.experiment_model import load_subject
from eval.lists import RankedLists
from rec_gen.catalog import Catalog
from rec_gen.counts import MarkovKNN
from rec_gen.data.dataset import Dataset, Example, Split
from rec_gen.metrics import Floats, ndcg
from rec_gen.title_screening import mend_titles, screen_titles

BASE = "smollm2-135m"
TEMPLATE = "next_item"
HISTORY = 8
BEAM = 20
PAIRS = 4
"""Pairs of a pushed item and one that is planted in histories; each user meets one of them."""
HONEST = "honest titles"


def arms_of(catalog: Catalog, baits: Positions, pushed: Positions) -> dict[str, Catalog]:
    """The catalog as it is, with each kind of plant, and with those screened."""
    arms, titles = {HONEST: catalog}, catalog.titles
    for kind in PLANTS:
        pairs = zip(baits.tolist(), pushed.tolist(), strict=True)
        changed = {bait: planted(kind, titles[bait], titles[item]) for bait, item in pairs}
        arms[kind] = retitle(catalog, changed)
        arms[f"{kind}, screening"] = mend_titles(arms[kind], screen_titles(arms[kind]))
    return arms


class Reader:
    """An untuned model over one wording of a catalog."""

    def __init__(self, dataset: Dataset, catalog: Catalog, base: str) -> None:
        from rec_gen.prompting import PromptConfig, PromptRenderer
        from rec_gen.templates import Template

        data = Dataset(catalog, dataset.frame, dataset.manifest)
        self._subject = load_subject(ModelConfig(base=base), data)
        self._renderer = PromptRenderer(
            Template.load(TEMPLATE),
            catalog,
            self._subject.spellings,
            self._subject.tokenizer,
            PromptConfig(template=TEMPLATE, max_history=HISTORY + 1),
        )

    def prompts(self, histories: Sequence[Sequence[int]]) -> list[list[int]]:
        """The token ids that the model reads for each history."""
        return [self._renderer.render(history).ids for history in histories]

    def items(self, prompt: Sequence[int], seen: Sequence[int]) -> list[int]:
        """The first ten items, best first."""
        from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
        from rec_gen.decoding.search import search

        trie = self._subject.trie
        leaves = EligibleLeaves(LeafFilter(trie), [list(seen)])
        (found,) = search(self._subject.runtime, [prompt], trie, leaves, K, BEAM, "lm")
        return list(found.items)


def run(dataset: Dataset, users: int, seed: int, base: str = BASE) -> dict[str, Any]:
    """By wording of the planted titles, exposure and NDCG for some users.

    Args:
        dataset: The data.
        users: How many users of the test split are asked for, drawn at random.
        seed: Of users and items.
        base: The model, by its name or a local folder.
    """
    drawn = tail_items(dataset, 2 * PAIRS, seed + 2)
    baits, pushed = np.split(drawn, 2)
    every = list(dataset.examples(Split.TEST))
    places = np.random.default_rng(seed).choice(len(every), min(users, len(every)), replace=False)
    examples = [every[place] for place in places]
    histories = [
        [*example.history[-HISTORY:].tolist(), int(baits[row % PAIRS])]
        for row, example in enumerate(examples)
    ]
    found: dict[str, Floats] = {}
    asked: dict[str, list[list[int]]] = {}
    for arm, catalog in arms_of(dataset.catalog, baits, pushed).items():
        reader = Reader(dataset, catalog, base)
        asked[arm] = reader.prompts(histories)
        twin = next((other for other in found if asked[other] == asked[arm]), None)
        found[arm] = found[twin] if twin else _ask(reader, asked[arm], examples, baits, pushed, arm)
    found["Markov + KNN"] = _count(dataset, examples, baits, pushed)
    names = [example.user for example in examples]
    return {"users": len(examples), "arms": _rows(found, names, seed)}


def _rows(found: Mapping[str, Floats], users: Sequence[str], seed: int) -> dict[str, Any]:
    changes = differences(found, HONEST, users, seed)
    return {arm: measured(each, users, seed) | changes.get(arm, {}) for arm, each in found.items()}


def _ask(
    reader: Reader,
    prompts: Sequence[Sequence[int]],
    examples: Sequence[Example],
    baits: Positions,
    pushed: Positions,
    arm: str,
) -> Floats:
    console = Console(stderr=True)
    lists = RankedLists.empty(len(examples), K)
    for row in track(range(len(examples)), f"asking, {arm}", console=console, transient=True):
        seen = [*examples[row].history.tolist(), int(baits[row % PAIRS])]
        items = reader.items(prompts[row], seen)
        lists.items[row, : len(items)] = items
        if examples[row].target in items:
            place = items.index(examples[row].target)
            lists.ranks.best[row] = lists.ranks.worst[row] = place
    return _values(lists, pushed)


def _count(
    dataset: Dataset,
    examples: Sequence[Example],
    baits: Positions,
    pushed: Positions,
) -> Floats:
    from eval.ranking import rank_baseline

    asked = [
        Example(
            example.user,
            np.append(example.history, baits[row % PAIRS]).astype(np.int32),
            example.target,
        )
        for row, example in enumerate(examples)
    ]
    return _values(rank_baseline(MarkovKNN().fit(dataset), dataset.catalog, asked, True, K), pushed)


def _values(lists: RankedLists, pushed: Positions) -> Floats:
    """float64 [n, 2]: whether each user's list holds the item that is pushed to them, and NDCG."""
    own = pushed[np.arange(len(lists.items)) % PAIRS]
    listed = (lists.items == own[:, None]).any(axis=1)
    return np.stack([listed.astype(np.float64), ndcg(lists.ranks, K)], axis=1)

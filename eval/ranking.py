"""Asking models and baselines for their lists, batch by batch."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import track

from eval.baselines import BASELINES, Baseline
from eval.lists import Cost, RankedLists, rank_targets, tie_order
from rec_gen.catalog import Catalog
from rec_gen.counts import MAX_CELLS
from rec_gen.data.dataset import Dataset, Dialogue, Example
from rec_gen.metrics import CUTOFFS

if TYPE_CHECKING:
    from rec_gen.answers import Answer
    from rec_gen.recommender import Recommender

BATCH = 64
"""Examples at a time; fewer, where their scores of all items would be more than `MAX_CELLS`."""
LONGEST = max(CUTOFFS)
"""The length of a list."""


class Lister(Protocol):
    """What is evaluated."""

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        /,
        *,
        k: int,
        exclude_seen: bool,
        dialogues: Sequence[Dialogue | None],
    ) -> Sequence["Answer"]:
        """Recommend up to `k` items, best first.

        Args:
            histories: For each example, item ids, oldest first.
            k: The length of a list.
            exclude_seen: Take the items of a history out.
            dialogues: For each example, what was said before, where the data tells.
        """


@dataclass(frozen=True)
class Asked:
    """A model that is always asked with the same further options.

    Attributes:
        recommender: The model.
        options: Of `Recommender.recommend`, by name.
    """

    recommender: "Recommender"
    options: Mapping[str, Any]

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        /,
        *,
        k: int,
        exclude_seen: bool,
        dialogues: Sequence[Dialogue | None],
    ) -> Sequence["Answer"]:
        """Recommend up to `k` items, best first, for each history; see `Lister`."""
        return self.recommender.recommend(
            histories, k, exclude_seen=exclude_seen, dialogues=dialogues, **self.options
        )


class Hybrid(Asked):
    """A model joined with the counted prior of its bundle."""

    def __init__(self, recommender: "Recommender", weight: float) -> None:
        """Join them.

        Args:
            recommender: The model.
            weight: The prior's.

        Raises:
            BundleError: The bundle holds no prior.
            DecodingError: The weight is no number of at least 0.
        """
        super().__init__(recommender, {"prior_weight": weight})
        recommender.recommend([], prior_weight=weight)


def rank_baselines(
    names: Sequence[str],
    dataset: Dataset,
    examples: Sequence[Example],
    exclude_seen: bool,
    seed: int,
) -> dict[str, RankedLists]:
    """Fit baselines, one after another, and rank by each; by name, see `rank_baseline`.

    Args:
        names: Which of `BASELINES`.
        dataset: Whose training sequences they learn from.
        examples: The n examples.
        exclude_seen: Take the items of a history out.
        seed: Of the order of ties in lists.
    """
    found = {}
    for name in names:
        baseline = BASELINES[name]().fit(dataset)
        found[baseline.name] = rank_baseline(
            baseline, dataset.catalog, examples, exclude_seen, seed=seed
        )
    return found


def rank_baseline(
    baseline: Baseline,
    catalog: Catalog,
    examples: Sequence[Example],
    exclude_seen: bool,
    k: int = LONGEST,
    seed: int = 0,
) -> RankedLists:
    """Rank each target in a fitted baseline's order of the whole catalog.

    Args:
        baseline: A fitted baseline.
        catalog: The items that the examples' positions stand for.
        examples: The n examples.
        exclude_seen: Take the items of a history out; a target among them is not ranked.
        k: The length of a list.
        seed: Of the order of ties in a list, see `eval.lists.tie_order`.

    Raises:
        DataError: The baseline scores an item NaN or infinity.
    """
    ties = tie_order(catalog, seed)

    def answer(part: Sequence[Example]) -> RankedLists:
        scores = baseline.score([example.history for example in part])
        if exclude_seen:
            for row, example in zip(scores, part, strict=True):
                row[example.history] = -np.inf
        targets = np.array([example.target for example in part])
        return rank_targets(scores, targets, k, ties, baseline.name)

    size = max(1, min(BATCH, MAX_CELLS // len(catalog)))
    return _in_batches(examples, answer, k, size, baseline.name)


def rank_recommender(
    recommender: Lister,
    catalog: Catalog,
    examples: Sequence[Example],
    exclude_seen: bool,
    k: int = LONGEST,
    label: str = "model",
) -> RankedLists:
    """Rank each target, by item id, in a model's list.

    Args:
        recommender: The model.
        catalog: The items that the examples' positions stand for.
        examples: The n examples.
        exclude_seen: Take the items of a history out; a target among them is not ranked, and who
            has seen the whole catalog gets no list.
        k: The length of a list.
        label: What the progress bar says of the model.
    """
    tokens = 0

    def answer(part: Sequence[Example]) -> RankedLists:
        nonlocal tokens
        lists = RankedLists.empty(len(part), k)
        asked = {
            row: example
            for row, example in enumerate(part)
            if not exclude_seen or len(np.unique(example.history)) < len(catalog)
        }
        if not asked:
            return lists
        histories = [[catalog.ids[place] for place in each.history] for each in asked.values()]
        dialogues = [example.dialogue for example in asked.values()]
        answers = recommender.recommend(
            histories, k=k, exclude_seen=exclude_seen, dialogues=dialogues
        )
        for (row, example), found in zip(asked.items(), answers, strict=True):
            places = [catalog.position(recommendation.item.id) for recommendation in found]
            lists.items[row, : len(places)] = places
            lists.scores[row, : len(places)] = [recommendation.score for recommendation in found]
            if example.target in places:
                place = places.index(example.target)
                lists.ranks.best[row] = lists.ranks.worst[row] = place
        tokens += sum(found.prompt_tokens for found in answers)
        return lists

    lists = _in_batches(examples, answer, k, BATCH, label)
    if lists.cost is None:
        return lists
    return replace(lists, cost=replace(lists.cost, prompt_tokens=tokens / len(examples)))


def _in_batches(
    examples: Sequence[Example],
    answer: Callable[[Sequence[Example]], RankedLists],
    k: int,
    size: int,
    label: str,
) -> RankedLists:
    """Ask for the lists of some examples at a time; shows a progress bar on stderr."""
    whole = RankedLists.empty(len(examples), k)
    console, began = Console(stderr=True), time.perf_counter()
    for start in track(
        range(0, len(examples), size),
        f"evaluating {label}",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        rows = slice(start, start + size)
        part = answer(examples[rows])
        whole.ranks.best[rows], whole.ranks.worst[rows] = part.ranks.best, part.ranks.worst
        whole.items[rows], whole.scores[rows] = part.items, part.scores
    if not examples:
        return whole
    return replace(whole, cost=Cost(1000 * (time.perf_counter() - began) / len(examples)))

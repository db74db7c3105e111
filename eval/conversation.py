"""A conversation recipe's benchmark: where the items stand that dialogues come to."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from rich.console import Console

from eval.background import held_out
from eval.conversation_measures import CUTOFFS, groups, recalls, recalls_by_turn
from eval.conversation_report import ConversationBenchmark
from eval.leaks import check_leaks
from eval.linked import Counted, LastMentioned, LinkedCounts
from eval.lists import rank_targets, tie_order
from eval.measures import means_of, metric_intervals
from eval.ranking import BATCH, rank_recommender
from eval.report import HYBRID, MODEL
from eval.seeds import minutes_of
from rec_gen.answers import Answer
from rec_gen.data.dataset import Dataset, Dialogue, Example, Split
from rec_gen.errors import DataError
from rec_gen.metrics import Ranks, recall
from rec_gen.recommender import Recommender

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)
"""What the weight of the counted links is chosen among; at 0 the hybrid is the model."""
CHOSEN_BY = 10
"""The recall at this length on the validation split chooses it."""
SEED = 0
"""Draws the bootstrap and the order of ties."""
LONGEST = max(CUTOFFS)


@dataclass(frozen=True)
class Joined:
    """A model's exact search, joined with counted scores as a product of experts.

    Attributes:
        recommender: The model.
        counted: What is counted.
        weight: What the counted log-probabilities are multiplied by; at 0 the model is alone.
    """

    recommender: Recommender
    counted: Counted
    weight: float

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        /,
        *,
        k: int,
        exclude_seen: bool,
        dialogues: Sequence[Dialogue | None],
    ) -> Sequence[Answer]:
        """Recommend the `k` likeliest items; see `eval.ranking.Lister`."""
        own = None
        if self.weight:
            catalog = self.recommender.catalog
            read = [[catalog.position(item) for item in history] for history in histories]
            scores = self.counted.score(read, [dialogue or Dialogue(()) for dialogue in dialogues])
            own = [dict(zip(catalog.ids, row, strict=True)) for row in scores.tolist()]
        return self.recommender.recommend(
            histories,
            k,
            exclude_seen=exclude_seen,
            exact=True,
            item_scores=own,
            item_weight=self.weight,
            dialogues=dialogues,
        )


def benchmark_conversations(
    recommenders: Sequence[Recommender], dataset: Dataset, allowed_leaks: Collection[str] = ()
) -> ConversationBenchmark:
    """Measure one recipe's models, each trained with a seed of its own, beside what is counted.

    Each item that a turn recommends is an example, as UniCRS (Wang et al., 2022) and iEvaLM (Wang
    et al., 2023) count, and items that were named may be recommended again. The test split is
    ranked once by each model and once by its hybrid with the counted links, whose weight was chosen
    on the validation split. Intervals resample turns.

    Args:
        recommenders: One a seed; nobody has changed their catalogs.
        dataset: What they were trained on.
        allowed_leaks: Checks for leaks in the data set that may fail.

    Raises:
        BundleError: A bundle does not say how long it trained.
        DataError: A split holds no dialogue, or a leak is found.
    """
    leaks = check_leaks(dataset, allowed=allowed_leaks)
    minutes = [minutes_of(recommender) for recommender in recommenders]
    examples, validation = _dialogues(dataset, Split.TEST), _dialogues(dataset, Split.VALID)
    counting, links = LastMentioned().fit(dataset), LinkedCounts().fit(dataset)
    choice = _choose(recommenders, links, dataset, validation)
    weight = max(choice, key=lambda weight: choice[weight])
    masks = groups(dataset, examples)
    values = {
        each.name: [recalls(_rank_counted(each, dataset, examples), masks)]
        for each in (counting, links)
    }
    for system, added in ((MODEL, 0.0), (HYBRID, weight)):
        values[system] = [
            recalls(_rank(each, links, added, dataset, examples, system), masks)
            for each in recommenders
        ]
    means = {
        system: pl.DataFrame(np.mean(seeds, axis=0), seeds[0].schema)
        for system, seeds in values.items()
    }
    turns = [example.user for example in examples]
    return ConversationBenchmark(
        name=recommenders[0].bundle.manifest.name,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        turns=len(set(turns)),
        examples=len(examples),
        sizes={name: int(mask.sum()) for name, mask in masks.items()},
        leaks=leaks,
        seeds=[recommender.bundle.manifest.seed for recommender in recommenders],
        minutes=minutes,
        weight=weight,
        validation=choice,
        recalls={system: metric_intervals(each, turns, SEED) for system, each in means.items()},
        by_turn={system: recalls_by_turn(each, turns) for system, each in means.items()},
        seed_means={
            system: [means_of(each) for each in values[system]] for system in (MODEL, HYBRID)
        },
        differences={
            one: {
                other: metric_intervals(means[one] - means[other], turns, SEED)
                for other in (counting.name, links.name)
            }
            for one in (MODEL, HYBRID)
        },
    )


def _dialogues(dataset: Dataset, split: Split) -> list[Example]:
    examples = held_out(dataset, split)
    for example in examples:
        if example.dialogue is None:
            raise DataError(
                f"{dataset.name}: tells no dialogue of user '{example.user}': give the columns "
                "utterances and entities in the table of users"
            )
    return examples


def _choose(
    recommenders: Sequence[Recommender],
    links: Counted,
    dataset: Dataset,
    examples: Sequence[Example],
) -> dict[float, float]:
    """The mean recall over seeds of each weight of the links, on validation examples."""
    console = Console(stderr=True)
    found = {}
    for weight in WEIGHTS:
        label = f"weight {weight} on validation"
        found[weight] = float(
            np.mean(
                [
                    recall(_rank(each, links, weight, dataset, examples, label), CHOSEN_BY).mean()
                    for each in recommenders
                ]
            )
        )
        line = f"weight of the links {weight}: validation recall@{CHOSEN_BY} {found[weight]:.4f}"
        console.print(line, highlight=False)
    return found


def _rank(
    recommender: Recommender,
    links: Counted,
    weight: float,
    dataset: Dataset,
    examples: Sequence[Example],
    label: str,
) -> Ranks:
    lister = Joined(recommender, links, weight)
    return rank_recommender(lister, dataset.catalog, examples, False, LONGEST, label).ranks


def _rank_counted(counted: Counted, dataset: Dataset, examples: Sequence[Example]) -> Ranks:
    ranks = Ranks(np.empty(len(examples)), np.empty(len(examples)))
    ties = tie_order(dataset.catalog, SEED)
    for start in range(0, len(examples), BATCH):
        part = examples[start : start + BATCH]
        scores = counted.score(
            [example.history for example in part],
            [example.dialogue or Dialogue(()) for example in part],
        )
        targets = np.array([example.target for example in part])
        rows = slice(start, start + BATCH)
        found = rank_targets(scores, targets, LONGEST, ties, counted.name).ranks
        ranks.best[rows], ranks.worst[rows] = found.best, found.worst
    return ranks

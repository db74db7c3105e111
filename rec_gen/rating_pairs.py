"""Questions of yes or no with their answers: would this user like this item?

Where it is said from which rating on an item is liked, the data answers. Otherwise the next item is
a yes, and an item drawn by popularity from those that the user did not choose is a no: not in
training for what is learnt, and never at all for what is measured.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rec_gen.data.dataset import Dataset, Example
from rec_gen.data.dataset import Sequence as History
from rec_gen.errors import ConfigError
from rec_gen.metrics import Floats

DAMPING = 5
"""Ratings of the overall mean that each item's own are averaged with."""


@dataclass(frozen=True)
class Pair:
    """A question and its answer.

    Attributes:
        user: Who is asked.
        history: int32 [n], catalog positions, oldest first.
        item: The catalog position of the item that is asked about.
        liked: Whether the answer is yes.
    """

    user: str
    history: npt.NDArray[np.int32]
    item: int
    liked: bool


def training_pairs(
    dataset: Dataset, liked_from: float | None, count: int, rng: np.random.Generator
) -> Iterator[Pair]:
    """Draw pairs from what may be learnt, half of them a yes.

    Raises:
        ConfigError: The data has no ratings, or only such as are liked, or not.
    """
    sequences = list(dataset.sequences())
    places = target_places(sequences)
    halves = (count + 1) // 2, count // 2
    if liked_from is None:
        popularity = item_popularity(dataset)
        whole = [len(np.unique(s.items)) == len(popularity) for s in sequences]
        places = [(user, place) for user, place in places if not whole[user]]
        if not places:
            raise ConfigError("tasks: every user chose every item, so no rating would be a no")
        drawn = draw(len(places), halves[0], rng)
        for number, (user, place) in enumerate(places[index] for index in drawn):
            sequence = sequences[user]
            owner, history = sequence.user, sequence.items[:place]
            yield Pair(owner, history, int(sequence.items[place]), True)
            if number < halves[1]:
                yield Pair(owner, history, _unchosen(popularity, sequence.items, rng), False)
        return
    liked = np.array([_ratings(sequences[user])[place] >= liked_from for user, place in places])
    for answer, half in zip((True, False), halves, strict=True):
        pool = np.flatnonzero(liked == answer)
        if not len(pool):
            what = "no" if answer else "every"
            raise ConfigError(f"tasks.liked_from: {what} training rating is {liked_from} or more")
        for index in pool[draw(len(pool), half, rng)]:
            user, place = places[index]
            sequence = sequences[user]
            yield Pair(sequence.user, sequence.items[:place], int(sequence.items[place]), answer)


def target_places(sequences: Sequence[History]) -> list[tuple[int, int]]:
    """The number of the sequence and the place in it of each interaction that may be learnt."""
    return [
        (user, int(place))
        for user, sequence in enumerate(sequences)
        for place in np.flatnonzero(sequence.targets)
    ]


def draw(pool: int, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw from a pool until it is used up, then from all of it again; int64 [count]."""
    rounds = [rng.permutation(pool) for _ in range(-(-count // pool))]
    return np.asarray(np.concatenate([np.zeros(0, np.int64), *rounds])[:count])


def held_out_pairs(
    dataset: Dataset, examples: Sequence[Example], liked_from: float | None, seed: int
) -> Iterator[Pair]:
    """The pairs of held-out interactions, one each, or a yes and a no each without ratings.

    A drawn no is no item that the user chose in any split, the test included.

    Args:
        dataset: What the examples are of.
        examples: The held-out interactions.
        liked_from: From which rating on an item is liked.
        seed: Draws the items that were not chosen.

    Raises:
        ConfigError: The data has no ratings.
    """
    rng, popularity = np.random.default_rng(seed), item_popularity(dataset)
    for example in examples:
        if liked_from is not None:
            if example.rating is None:
                raise ConfigError(_NO_RATINGS)
            yield Pair(example.user, example.history, example.target, example.rating >= liked_from)
            continue
        chosen = dataset.history(example.user)
        if len(np.unique(chosen)) < len(popularity):
            yield Pair(example.user, example.history, example.target, True)
            yield Pair(example.user, example.history, _unchosen(popularity, chosen, rng), False)


_NO_RATINGS = "tasks.liked_from: the data has no ratings; leave it out, or map a rating column"


def _ratings(sequence: History) -> npt.NDArray[np.float32]:
    if sequence.ratings is None:
        raise ConfigError(_NO_RATINGS)
    return sequence.ratings


def _unchosen(popularity: Floats, chosen: npt.NDArray[np.int32], rng: np.random.Generator) -> int:
    """An item that was not chosen, in proportion to how often the others chose it."""
    free = np.ones(len(popularity))
    free[chosen] = 0
    chances = free * popularity if (free * popularity).any() else free
    return int(rng.choice(len(chances), p=chances / chances.sum()))


def item_popularity(dataset: Dataset) -> Floats:
    """How often each item was chosen in training, float64 [items]."""
    return _per_item(dataset, [np.ones(len(s.items)) for s in dataset.sequences()])


def mean_ratings(dataset: Dataset) -> Floats:
    """Each item's mean rating in training, drawn towards that of all; float64 [items].

    Raises:
        ConfigError: The data has no ratings.
    """
    sums = _per_item(dataset, [_ratings(s).astype(np.float64) for s in dataset.sequences()])
    counts = item_popularity(dataset)
    return np.asarray((sums + DAMPING * sums.sum() / counts.sum()) / (counts + DAMPING))


def _per_item(dataset: Dataset, values: Sequence[Floats]) -> Floats:
    items = np.concatenate([s.items for s in dataset.sequences()])
    sums = np.bincount(items, np.concatenate(values), len(dataset.catalog))
    return sums.astype(np.float64)

"""What a prompt may tell beside the items: gaps in time, ratings, a profile, worked examples."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from rec_gen.data.dataset import Dataset, Dialogue, Example, Sequence
from rec_gen.errors import PromptError

NEEDS: Mapping[str, str] = MappingProxyType(
    {
        "gap": "times",
        "days_ago": "times",
        "rated": "ratings",
        "examples": "training data",
        "dialogue": "what was said",
        "named": "what was said",
        "linked": "what was said",
    }
)
"""What each slot is made of, beyond the catalog and the ids of a history."""

DAY = 86_400
_UNITS = (("year", 365 * DAY), ("month", 30 * DAY), ("week", 7 * DAY), ("day", DAY),
          ("hour", 3_600), ("minute", 60))  # fmt: skip
_FEWEST = 2
"""A gap is told in the largest unit of which it has so many, or else in the largest it has."""


@dataclass(frozen=True)
class Shot:
    """An example of the task with its answer, drawn from training interactions.

    Attributes:
        user: Whose it is.
        history: int32 [n], catalog positions, oldest first.
        answer: The catalog position of what came next.
        times: int64 [n], seconds, where the data has times.
        ratings: float32 [n], where the data has ratings.
    """

    user: str
    history: npt.NDArray[np.int32]
    answer: int
    times: npt.NDArray[np.int64] | None = None
    ratings: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Known:
    """What is known of a request beside the ids of its history; by default nothing.

    Attributes:
        dataset: The name of the data set that tells it; empty where a request comes without one.
        times: int64 [n], the seconds of the history's interactions.
        ratings: float32 [n], their ratings.
        shots: Examples to show; None where there is no training data to draw them from.
        dialogue: What was said before; None where nothing tells it.
    """

    dataset: str = ""
    times: npt.NDArray[np.int64] | None = None
    ratings: npt.NDArray[np.float32] | None = None
    shots: tuple[Shot, ...] | None = None
    dialogue: Dialogue | None = None

    @property
    def owner(self) -> str:
        """Whose items a prompt shows, for messages."""
        return f"data set '{self.dataset}'" if self.dataset else "this catalog"

    @classmethod
    def of(
        cls, dataset: Dataset, example: Example | Sequence, shots: tuple[Shot, ...] = ()
    ) -> "Known":
        """What a data set tells of an example, or of a sequence that is a history.

        Args:
            dataset: The data.
            example: Who is asked.
            shots: What `draw_shots` drew; the user's own is left out, and one of them in any case.
        """
        others = tuple(shot for shot in shots if shot.user != example.user)
        shown = others[: max(len(shots) - 1, 0)]
        return cls(dataset.name, example.times, example.ratings, shown, example.dialogue)


NOTHING = Known()


def draw_shots(dataset: Dataset, count: int, longest: int, seed: int) -> tuple[Shot, ...]:
    """Draw examples from training interactions, the same for everyone who is asked.

    Args:
        dataset: The data; held-out interactions are never read.
        count: How many a prompt shows.
        longest: Interactions of an example's history at most, the latest ones.
        seed: Of the draw.

    Returns:
        One example more than is shown, each of another user, so that nobody is shown their own.

    Raises:
        PromptError: Too few users have two training interactions.
    """
    if count < 1:
        return ()
    sequences = [s for s in dataset.sequences() if s.targets[1:].any()]
    if len(sequences) <= count:
        raise PromptError(
            f"the slot 'examples' needs {count + 1} users with two training interactions, data set "
            f"'{dataset.name}' has {len(sequences)}: ask for fewer shots"
        )
    shots = []
    for index in np.random.default_rng(seed).choice(len(sequences), count + 1, replace=False):
        sequence = sequences[index]
        stop = int(np.flatnonzero(sequence.targets)[-1])
        past = slice(max(0, stop - longest), stop)
        times = None if sequence.times is None else sequence.times[past]
        ratings = None if sequence.ratings is None else sequence.ratings[past]
        answer = int(sequence.items[stop])
        shots.append(Shot(sequence.user, sequence.items[past], answer, times, ratings))
    return tuple(shots)


def interaction_slots(
    count: int,
    times: npt.NDArray[np.int64] | None,
    ratings: npt.NDArray[np.float32] | None,
) -> list[dict[str, Any]]:
    """What each interaction of a history tells beside its item.

    Returns:
        `gap`, the time since the interaction before it in words, None for the first; `days_ago`,
        whole days before the latest interaction of the history; `rated`, the rating. Those that
        the data does not tell are missing.
    """
    slots: list[dict[str, Any]] = [{} for _ in range(count)]
    if times is not None and count:
        for place, moment in enumerate(times.tolist()):
            gap = in_words(moment - int(times[place - 1])) if place else None
            slots[place] |= {"gap": gap, "days_ago": (int(times[-1]) - moment) // DAY}
    if ratings is not None:
        for slot, rating in zip(slots, ratings.tolist(), strict=True):
            slot["rated"] = int(rating) if rating.is_integer() else round(rating, 4)
    return slots


def in_words(seconds: int) -> str:
    """A length of time as `3 days`, rounded down."""
    fitting = [(name, seconds // size) for name, size in _UNITS if seconds >= size]
    if not fitting:
        return "less than a minute"
    name, count = next((unit for unit in fitting if unit[1] >= _FEWEST), fitting[0])
    return f"{count} {name}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Counted:
    """A value of a column and how often it stands in a history."""

    value: Any
    count: int


class Profile:
    """What a history says of its user: `profile.COLUMN` counts the values of a catalog column.

    The commonest value comes first, of equally common ones the one that came earlier. A value that
    is a list counts each of its parts, a missing one nothing.
    """

    def __init__(
        self, columns: list[str], fields: Callable[[int], Mapping[str, Any]], history: list[int]
    ) -> None:
        self._columns, self._fields, self._history = columns, fields, history

    def __getattr__(self, column: str) -> list[Counted]:
        if column.startswith("_") or column not in self._columns:
            raise AttributeError(column)
        counts = Counter(self._values(column))
        return [Counted(value, count) for value, count in counts.most_common()]

    def _values(self, column: str) -> Iterator[Any]:
        for position in self._history:
            value = self._fields(position)[column]
            yield from (
                part
                for part in (value if isinstance(value, list) else [value])
                if part is not None and not isinstance(part, dict | list)
            )

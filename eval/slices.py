"""Parts of the examples that are looked at by themselves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from eval.background import Background
from eval.intervals import Interval
from eval.labels import unused_label
from eval.measures import comparisons, metric_intervals
from eval.significance import Comparison
from rec_gen.errors import ConfigError

USER = "user."
"""Begins the name of a column of the users."""

FEWEST = 20
"""With fewer users, who are the units of every test, a slice is shown without a verdict."""

POPULARITY, HISTORY = "target's popularity", "items of the history"
"""What the slices by the two are called."""

SHARES = {"head": 1 / 3, "torso": 2 / 3, "tail": 1.0}
"""Where each class of items ends, by the cumulative share of training interactions."""

LENGTHS = (1, 6, 11, 21, 51, 101)
"""The first history length of each class after that of empty histories."""

MOST_VALUES = 50
"""A column of text with more values is no slicing; one of numbers is cut into quarters."""


@dataclass(frozen=True, eq=False)
class Slice:
    """Some of the examples.

    Attributes:
        by: What the examples are divided by.
        value: What these have of it.
        rows: bool [n], which examples these are.
    """

    by: str
    value: str
    rows: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SliceResult:
    """The measures of a slice.

    Attributes:
        by: What the examples are divided by.
        value: What these have of it.
        examples: How many these are.
        users: How many users they belong to.
        systems: By system and measure, the mean and its interval.
        differences: As in `Evaluation`, p-values corrected for the number of systems in this slice
            alone; empty where there are fewer than `FEWEST` users. Results that were kept from
            before slices were tested hold intervals.
    """

    by: str
    value: str
    examples: int
    users: int
    systems: dict[str, dict[str, Interval]]
    differences: Mapping[str, Mapping[str, Comparison | Interval]]

    @property
    def few(self) -> bool:
        """Whether there are too few users for a verdict."""
        return self.users < FEWEST


def slices(background: Background, columns: Sequence[str]) -> list[Slice]:
    """The examples by popularity of the target, length of history, cold or not, and by columns.

    Slices without an example are left out.

    Args:
        background: The examples.
        columns: Columns of the catalog, or of the users as in `user.age`; an example with a list
            counts under each of its members.

    Raises:
        ConfigError: There is no such column, or it has too many values.
    """
    named = [
        (POPULARITY, _popularity(background)),
        (HISTORY, _lengths(background)),
        ("user", _users(background)),
        *((column, _column(background, column)) for column in columns),
    ]
    return [Slice(by, value, rows) for by, part in named for value, rows in part if rows.any()]


def measure_slice(
    part: Slice, values: Mapping[str, pl.DataFrame], reference: str, users: Sequence[str], seed: int
) -> SliceResult:
    """The means of a slice with their intervals, and its differences where it has enough users.

    Args:
        part: The slice.
        values: By system, what each example scores, a column a measure.
        reference: The system that the others are compared with.
        users: The n examples' users.
        seed: Of the bootstrap and of the sign flips.
    """
    inside = {system: each.filter(part.rows) for system, each in values.items()}
    owners = [users[row] for row in np.flatnonzero(part.rows)]
    count = len(set(owners))
    return SliceResult(
        part.by,
        part.value,
        len(owners),
        count,
        {system: metric_intervals(each, owners, seed) for system, each in inside.items()},
        comparisons(inside, reference, owners, seed) if count >= FEWEST else {},
    )


Parts = Iterator[tuple[str, npt.NDArray[np.bool_]]]


def popularity_classes(popularity: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The place in `SHARES` of each item, int64 [items]; that of a cold item comes after them.

    Items are taken by falling popularity; equally popular ones stay together, in the class where
    the first of them falls.
    """
    counts, groups = np.unique(-popularity, return_inverse=True)
    sums = np.bincount(groups, popularity)
    before = (sums.cumsum() - sums) / max(sums.sum(), 1)
    classes = np.searchsorted(list(SHARES.values())[:-1], before, side="right")
    return np.where(counts == 0, len(SHARES), classes)[groups]


def _popularity(background: Background) -> Parts:
    found = popularity_classes(background.popularity)[background.targets]
    for place, name in enumerate((*SHARES, "cold")):
        yield name, found == place


def _lengths(background: Background) -> Parts:
    lengths = np.array([len(example.history) for example in background.examples])
    classes = np.searchsorted(LENGTHS, lengths, side="right")
    ends = [str(start) if start + 1 == stop else f"{start} to {stop - 1}"
            for start, stop in zip((0, *LENGTHS), LENGTHS, strict=False)]  # fmt: skip
    for place, name in enumerate((*ends, f"{LENGTHS[-1]} or more")):
        yield name, classes == place


def _users(background: Background) -> Parts:
    warm = np.array([user in background.trained_users for user in background.users])
    yield "in training", warm
    yield "cold", ~warm


def _column(background: Background, column: str) -> Parts:
    read = _user_values if column.startswith(USER) else _target_values
    values, whole = read(background, column)
    if values.dtype.is_numeric() and values.n_unique() > MOST_VALUES:
        values = _quarters(values, whole)
    rows = pl.DataFrame({"row": np.arange(len(values)), "value": values})
    if isinstance(values.dtype, pl.List):
        rows = rows.explode("value", empty_as_null=True)
    try:
        rows = rows.sort("value", nulls_last=True).with_columns(pl.col("value").cast(pl.String))
    except pl.exceptions.PolarsError as error:
        raise ConfigError(
            f"column '{column}': holds {values.dtype}, which has no text: choose another column"
        ) from error
    missing = unused_label("none", set(rows["value"]))
    rows = rows.with_columns(pl.col("value").fill_null(missing))
    if rows["value"].n_unique() > MOST_VALUES:
        raise ConfigError(
            f"column '{column}': the examples have {rows['value'].n_unique():,} values; choose a "
            f"column with at most {MOST_VALUES}"
        )
    for (value,), part in rows.group_by("value", maintain_order=True):
        inside = np.zeros(len(values), bool)
        inside[part["row"].to_numpy()] = True
        yield str(value), inside


def _target_values(background: Background, column: str) -> tuple[pl.Series, pl.Series]:
    """What the examples' targets have in a column, and all that the catalog has there."""
    frame = background.dataset.catalog.frame
    if column not in frame.columns:
        raise ConfigError(f"column '{column}': the catalog has {', '.join(frame.columns)}")
    return frame[column][background.targets], frame[column]


def _user_values(background: Background, column: str) -> tuple[pl.Series, pl.Series]:
    """What the examples' users have in a column of the users, and all that stands there."""
    frame, name = background.dataset.user_frame, column.removeprefix(USER)
    if frame is None:
        raise ConfigError(
            f"column '{column}': nothing is known of the users: give their table as [users] in the "
            "configuration of the data"
        )
    if name not in frame.columns:
        names = ", ".join(frame.columns)
        raise ConfigError(f"column '{column}': the table of users has {names}")
    users = pl.DataFrame({"user": background.users})
    return users.join(frame, on="user", how="left", maintain_order="left")[name], frame[name]


def _quarters(values: pl.Series, whole: pl.Series) -> pl.Series:
    """The quarter of all values of a column in which each of some values lies."""
    known = whole.cast(pl.Float64).drop_nulls().drop_nans()
    cuts = np.unique(np.quantile(known.to_numpy(), (0.25, 0.5, 0.75)))
    # 17 digits tell any two numbers of 64 bits apart
    texts = next(
        texts
        for digits in range(6, 18)
        if len(set(texts := [f"{cut:.{digits}g}" for cut in cuts])) == len(cuts)
    )
    names = [*(f"up to {text}" for text in texts), f"above {texts[-1]}"]
    numbers = values.cast(pl.Float64).fill_nan(None)
    places = pl.Series(np.searchsorted(cuts, numbers.to_numpy())).set(numbers.is_null(), None)
    return pl.Series(names, dtype=pl.Enum(names)).gather(places)

"""Categories of the catalog's items, and what part of histories and lists each has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from eval.beyond_accuracy import Categories, Lists, category_shares
from eval.labels import unused_label
from rec_gen.catalog import Catalog
from rec_gen.errors import ConfigError
from rec_gen.metrics import Floats

MOST_CATEGORIES = 2000
"""A column with more is one of names, and shares of it would fill the memory."""
FEWEST_ITEMS = 2
"""A column whose categories have fewer items on average names items rather than kinds."""
SHOWN = 25
OTHER = "other"
"""Stands for all categories that are not shown; in brackets where a category has this name."""


@dataclass(frozen=True, eq=False)
class ItemCategories:
    """Which categories each item of a catalog has.

    Attributes:
        column: The column that says so.
        names: The categories, sorted.
        members: bool [items, categories].
    """

    column: str
    names: list[str]
    members: Categories

    @classmethod
    def of(cls, catalog: Catalog, column: str) -> "ItemCategories":
        """Read a column of text, or of lists of text; blank text is no category.

        Raises:
            ConfigError: There is no such column, it holds something else, nothing or too much.
        """
        if column not in catalog.frame.columns:
            columns = ", ".join(catalog.frame.columns)
            raise ConfigError(f"--categories {column}: the catalog has {columns}")
        values = catalog.frame[column]
        inner = values.dtype.inner if isinstance(values.dtype, pl.List) else values.dtype
        if inner not in (pl.String, pl.Categorical, pl.Enum):
            raise ConfigError(
                f"--categories {column}: holds {values.dtype}; choose a column of text or of lists "
                "of text"
            )
        rows = pl.DataFrame({"item": np.arange(len(values)), "name": values})
        if isinstance(values.dtype, pl.List):
            rows = rows.explode("name", empty_as_null=True)
        name = pl.col("name").cast(pl.String).str.strip_chars()
        rows = rows.with_columns(name).filter(name != "")
        names = rows["name"].unique().sort()
        if not 0 < len(names) <= MOST_CATEGORIES:
            raise ConfigError(
                f"--categories {column}: names {len(names):,} categories; choose a column "
                f"with 1 to {MOST_CATEGORIES:,}"
            )
        memberships = rows.n_unique()
        if memberships < FEWEST_ITEMS * len(names):
            raise ConfigError(
                f"--categories {column}: names {len(names):,} categories of "
                f"{memberships / len(names):.1f} items each, which tell items and no kinds; choose "
                f"a column whose categories have {FEWEST_ITEMS} items or more on average"
            )
        members = np.zeros((len(values), len(names)), bool)
        members[rows["item"].to_numpy(), names.search_sorted(rows["name"]).to_numpy()] = True
        return cls(column, names.to_list(), members)


@dataclass(frozen=True)
class CategoryShares:
    """What part of the examples' histories and of systems' lists each category has.

    An item's weight is shared by its categories. Each number is a mean over the examples whose
    history or list has an item with a category, and 0 where there is none.

    Attributes:
        column: The catalog's column of categories.
        names: At most `SHOWN` categories, those with the largest part of the histories first, and
            `OTHER` where there are more.
        history: The share of each in the histories.
        lists: By system, its share in the lists.
    """

    column: str
    names: list[str]
    history: list[float]
    lists: dict[str, list[float]]


def mean_shares(
    categories: ItemCategories,
    histories: Sequence[npt.NDArray[np.integer]],
    lists: Mapping[str, Lists],
) -> CategoryShares:
    """Count the categories of histories and lists.

    Args:
        categories: Those of the items.
        histories: Catalog positions, one array an example.
        lists: By system, int32 [n, k], catalog positions, -1 past the end.
    """
    lengths = np.array([len(history) for history in histories])
    wanted = _mean(category_shares(np.concatenate(histories), lengths, categories.members))
    shown = {
        system: _mean(category_shares(each[each >= 0], (each >= 0).sum(1), categories.members))
        for system, each in lists.items()
    }
    order = np.argsort(-wanted, kind="stable")
    kept, rest = order[:SHOWN], order[SHOWN:]

    def cut(shares: Floats) -> list[float]:
        return [*shares[kept].tolist(), *([float(shares[rest].sum())] if len(rest) else [])]

    names = [categories.names[place] for place in kept]
    if len(rest):
        names.append(unused_label(OTHER, categories.names))
    lists_cut = {system: cut(shares) for system, shares in shown.items()}
    return CategoryShares(categories.column, names, cut(wanted), lists_cut)


def _mean(shares: Floats) -> Floats:
    """The mean of the rows that are no NaN, float64 [categories]."""
    known = shares[~np.isnan(shares[:, 0])]
    return np.asarray(known.sum(axis=0) / max(len(known), 1))

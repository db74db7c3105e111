"""The catalogs of several domains as one, in which equal titles are one item."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset
from rec_gen.errors import ConfigError
from rec_gen.spelling import Spellings, spell
from rec_gen.text import clean_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Union:
    """All catalogs as one, and where the items of each stand in it.

    Attributes:
        dataset: The items, and the interactions of all users.
        places: For each catalog, int64 [items], its items' positions, the first domain's first.
    """

    dataset: Dataset
    places: tuple[Places, ...]

    def spellings(
        self, whole: Spellings, catalogs: Sequence[Catalog], tokenizer: "PreTrainedTokenizerBase"
    ) -> list[Spellings]:
        """Each catalog's spellings.

        Titles are spelled catalog by catalog, as a changed catalog is; the same title is the same
        tokens in each. A part of a prefix-free set is prefix-free.

        Args:
            whole: Those of all items.
            catalogs: The catalogs, in the order of `places`.
            tokenizer: Whose tokens are used.
        """
        if whole.scheme == "title":
            return [spell(catalog, "title", tokenizer) for catalog in catalogs]
        return [
            Spellings(
                whole.scheme,
                [whole.texts[place] for place in part],
                [whole.tokens[place] for place in part],
            )
            for part in self.places
        ]


def unite(datasets: Sequence[Dataset], names: Sequence[str], columns: Sequence[str]) -> Union:
    """Join data sets; items with one cleaned title, unique in each catalog, are one.

    Args:
        datasets: The first domain's, then those of the further ones.
        names: The domains' names.
        columns: The columns that say what an item is; an item has those of its catalog.

    Raises:
        ConfigError: A catalog has none of the columns.
    """
    frames, interactions, places = [], [], []
    known: dict[str, int] = {}
    size = 0
    for name, dataset in zip(names, datasets, strict=True):
        catalog = dataset.catalog
        titles = [clean_text(title) for title in catalog.titles]
        counts = Counter(titles)
        row = np.empty(len(catalog), np.int64)
        own: list[int] = []
        for position, title in enumerate(titles):
            shared = known.get(title) if counts[title] == 1 else None
            row[position] = size + len(own) if shared is None else shared
            if shared is None:
                own.append(position)
        for position in own:
            if counts[titles[position]] == 1:
                known[titles[position]] = int(row[position])
        size += len(own)
        places.append(row)
        frames.append(_items(catalog, name, columns)[own])
        interactions.append(
            dataset.frame.select(
                pl.format("{}:{}", pl.lit(name), pl.col("user")).alias("user"),
                pl.Series("item", row.astype(np.uint32)).gather(dataset.frame["item"]),
                "time",
                "split",
            )
        )
    catalog = Catalog(pl.concat(frames, how="diagonal"))
    joined = Dataset(catalog, pl.concat(interactions), {"name": "+".join(names)})
    return Union(joined, tuple(places))


def _items(catalog: Catalog, name: str, columns: Sequence[str]) -> pl.DataFrame:
    """Ids, titles and what the columns say, all of it text, under ids that no other catalog has."""
    told = [column for column in columns if column in catalog.frame.columns]
    if not told:
        raise ConfigError(
            f"spelling.text: the catalog of '{name}' has none of {', '.join(columns)}; name a "
            "column that it has too, such as title"
        )
    return pl.DataFrame(
        {
            "item": [f"{name}:{item}" for item in catalog.ids],
            "title": catalog.titles,
            **{column: catalog.texts([column]) for column in told},
        }
    )

"""The catalog: items with an id, a title and free metadata columns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import polars as pl

from rec_gen.errors import DataError


@dataclass(frozen=True)
class Item:
    """One item of a catalog.

    Attributes:
        id: The item's id, unique in its catalog.
        title: A text for people; it need not be unique.
        fields: The other columns, by name.
    """

    id: str
    title: str
    fields: Mapping[str, Any]


class Catalog:
    """Items in a fixed order; a position in this order stands for an item everywhere else.

    Attributes:
        frame: One row an item: `item` (string, unique), `title` (string, not blank), metadata.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        """Wrap a frame.

        Raises:
            DataError: The columns `item` and `title` are missing, or an id stands twice.
        """
        for column in ("item", "title"):
            if column not in frame.columns:
                raise DataError(f"catalog: column '{column}' is missing")
        if frame["item"].is_duplicated().any():
            repeated = frame.filter(pl.col("item").is_duplicated())["item"][0]
            raise DataError(f"catalog: item id '{repeated}' stands more than once")
        self.frame = frame.with_columns(pl.col("item", "title").cast(pl.String))

    def __len__(self) -> int:
        return self.frame.height

    def __iter__(self) -> Iterator[Item]:
        for row in self.frame.iter_rows(named=True):
            yield Item(row.pop("item"), row.pop("title"), row)

    def __getitem__(self, position: int) -> Item:
        row = self.frame.row(position, named=True)
        return Item(row.pop("item"), row.pop("title"), row)

    @cached_property
    def ids(self) -> list[str]:
        """Item ids by position."""
        return self.frame["item"].to_list()

    @cached_property
    def titles(self) -> list[str]:
        """Titles by position."""
        return self.frame["title"].to_list()

    @cached_property
    def positions(self) -> dict[str, int]:
        """Positions by item id."""
        return {item: position for position, item in enumerate(self.ids)}

    def position(self, item: str) -> int:
        """The position of an item id.

        Raises:
            DataError: The id is not in the catalog.
        """
        try:
            return self.positions[item]
        except KeyError:
            raise DataError(f"item '{item}' is not in the catalog of {len(self)} items") from None

    @cached_property
    def digests(self) -> list[str]:
        """A short digest of each row, so that a changed item can be named."""
        rows = self.frame.select(sorted(self.frame.columns)).iter_rows()
        return [blake2b(repr(row).encode(), digest_size=6).hexdigest() for row in rows]

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all rows in order."""
        return blake2b("".join(self.digests).encode(), digest_size=16).hexdigest()

    def save(self, path: Path) -> None:
        """Write the catalog to a Parquet file."""
        self.frame.write_parquet(path)

    @classmethod
    def load(cls, path: Path) -> "Catalog":
        """Read a catalog from a Parquet file.

        Raises:
            DataError: The file is missing or is not a catalog.
        """
        try:
            return cls(pl.read_parquet(path))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{path}: cannot be read as a catalog: {error}") from error

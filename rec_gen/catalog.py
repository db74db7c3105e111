"""The catalog: items with an id, a title and free metadata columns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
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
            DataError: The columns `item` and `title` are missing or have gaps, or an id stands
                twice.
        """
        for column in ("item", "title"):
            if column not in frame.columns:
                raise DataError(f"catalog: column '{column}' is missing")
            if frame[column].has_nulls():
                row = int(frame[column].is_null().arg_max() or 0)
                raise DataError(f"catalog: row {row} has no {column}; give every item one")
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

    def texts(self, columns: Sequence[str]) -> list[str]:
        """One text an item, by position: what it has in some columns, joined.

        Raises:
            DataError: A column is missing.
        """
        for column in columns:
            if column not in self.frame.columns:
                has = ", ".join(self.frame.columns)
                raise DataError(f"catalog: there is no column '{column}'; it has {has}")
        return (
            self.frame.select(
                pl.concat_str(
                    [_as_text(self.frame.schema[column], column) for column in columns],
                    separator=". ",
                    ignore_nulls=True,
                )
            )
            .to_series()
            .to_list()
        )

    @property
    def metadata(self) -> list[str]:
        """The names of the columns beside `item` and `title`."""
        return [name for name in self.frame.columns if name not in ("item", "title")]

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
        except (KeyError, TypeError):
            raise DataError(f"item '{item}' is not in the catalog of {len(self)} items") from None

    def put(self, items: Sequence[Item]) -> "Catalog":
        """A catalog in which items stand in the place of those with their ids, or else at the end.

        A field that an item lacks becomes null.

        Raises:
            DataError: An id is blank or stands twice, a title is blank, or a field does not fit
                the columns.
        """
        rows = _rows(items, self)
        size = len(self)
        places = [self.positions.get(item.id) for item in items]
        added = [size + row for row, place in enumerate(places) if place is None]
        order = np.append(np.arange(size), np.array(added, dtype=np.int64))
        for row, place in enumerate(places):
            if place is not None:
                order[place] = size + row
        return Catalog(pl.concat([self.frame, rows])[order])

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
            return cls(pl.read_parquet(path, glob=False))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{path}: cannot be read as a catalog: {error}") from error


def _rows(items: Sequence[Item], catalog: Catalog) -> pl.DataFrame:
    """Items as rows under the columns of a catalog."""
    schema, metadata = catalog.frame.schema, catalog.metadata
    seen: set[str] = set()
    for item in items:
        if not isinstance(item, Item):
            raise DataError(f"{item!r} stands where an Item belongs: give Item(id, title, fields)")
        for name, text in (("id", item.id), ("title", item.title)):
            if not isinstance(text, str) or not text.strip():
                raise DataError(f"item {item.id!r}: its {name} is {text!r}; give it a text")
        if item.id in seen:
            raise DataError(f"item '{item.id}' is put twice: give it once")
        seen.add(item.id)
        unknown = next((name for name in item.fields if name not in metadata), None)
        if unknown is not None:
            raise DataError(
                f"item '{item.id}': the catalog has no column '{unknown}'; "
                f"columns are {', '.join(schema)}"
            )
    ids = [item.id for item in items]
    cells: dict[str, list[Any]] = {
        name: [item.fields.get(name) for item in items] for name in metadata
    }
    cells |= {"item": ids, "title": [item.title for item in items]}
    return pl.DataFrame([_column(name, cells[name], kind, ids) for name, kind in schema.items()])


def _column(name: str, values: list[Any], kind: pl.DataType, ids: list[str]) -> pl.Series:
    column = _cast(name, values, kind)
    if column is None:
        cells = list(zip(ids, values, strict=True))
        misfits = (cell for cell in cells if _cast(name, [cell[1]], kind) is None)
        item, value = next(misfits, cells[0])
        raise DataError(f"item '{item}': column '{name}' holds {kind}, and not {value!r}")
    return column


def _cast(name: str, values: list[Any], kind: pl.DataType) -> pl.Series | None:
    """The values as a column, or None if one does not fit."""
    try:
        column = pl.Series(name, values, kind, strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return None
    # polars drops values from a column without a type, and makes a list of a lone value
    kept = column.to_list() if kind.is_nested() or kind == pl.Null else values
    lists = (list, tuple, np.ndarray)
    same = all(
        (value is None) == (cell is None) and isinstance(value, lists) == isinstance(cell, lists)
        for value, cell in zip(values, kept, strict=True)
    )
    return column if same else None


def _as_text(dtype: pl.DataType, column: str) -> pl.Expr:
    if isinstance(dtype, pl.List):
        return pl.col(column).cast(pl.List(pl.String)).list.join(", ", ignore_nulls=True)
    return pl.col(column).cast(pl.String)

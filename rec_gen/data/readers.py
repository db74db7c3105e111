"""Input files as unchecked tables, and where in its file a record stands."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rec_gen.errors import DataError

ROW = "#row"
"""The column that numbers the records of a table, from 0."""

csv.field_size_limit(1 << 30)
_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def row_error(path: Path | str, row: int, column: str | None, problem: str) -> DataError:
    """An error that names file, row and column; `problem` says what is wrong and the mend."""
    place = f"row {row}" if column is None else f"row {row}, column '{column}'"
    return DataError(f"{path}: {place}: {problem}")


@dataclass(frozen=True)
class RawTable:
    """The records of one input, unchecked.

    Attributes:
        path: The file.
        frame: The file's columns (text, if the file is text), and `#row`.
        separator: Between two fields; None where a record's row is its number.
    """

    path: Path
    frame: pl.LazyFrame
    separator: str | None = None

    @property
    def schema(self) -> pl.Schema:
        """The file's columns and their types."""
        schema = self.frame.collect_schema()
        return pl.Schema({name: dtype for name, dtype in schema.items() if name != ROW})

    def require(self, columns: Iterable[str], mend: str) -> None:
        """Refuse a table that lacks a column.

        Raises:
            DataError: A column is missing; the message lists those that are there.
        """
        present = self.schema.names()
        for column in columns:
            if column not in present:
                listed = ", ".join(f"'{name}'" for name in present)
                raise DataError(f"{self.path}: column '{column}' is missing; {mend} ({listed})")

    def collect(self, frame: pl.LazyFrame) -> pl.DataFrame:
        """Run a query on the records, in batches.

        Raises:
            DataError: The file is not UTF-8 or malformed; the row is named.
        """
        try:
            return frame.collect(engine="streaming")
        except pl.exceptions.PolarsError as error:
            raise _explain(self.path, self.separator, error) from error

    def row(self, record: int) -> int:
        """The row of the file, counted from 1 with the header, in which a record begins."""
        if self.separator is None:
            return record + 1
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=self.separator)
            while not next(reader):
                pass
            for _ in range(record):
                next(reader)
            return reader.line_num + 1


def open_table(path: Path) -> RawTable:
    """Open a CSV, TSV or Parquet file; every column of a text file is text.

    Raises:
        DataError: The file is missing, empty, of another kind, or its header cannot be read.
    """
    suffix = path.suffix.lower()
    separator = _SEPARATORS.get(suffix)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; correct the path")
    try:
        if separator:
            _check_header(path, separator)
            scan = pl.scan_csv(
                path, separator=separator, infer_schema=False, row_index_name=ROW, glob=False
            )
        elif suffix == ".parquet":
            scan = pl.scan_parquet(path, row_index_name=ROW, glob=False)
        else:
            raise DataError(f"{path}: is no .csv, .tsv or .parquet file; convert or rename it")
        table = RawTable(path, scan, separator)
        empty = table.collect(scan.head(1)).is_empty()
    except (pl.exceptions.PolarsError, UnicodeDecodeError, csv.Error) as error:
        raise _explain(path, separator, error) from error
    if empty:
        # polars may take a stray quote for the beginning of a field that never ends
        found = _first_malformed(path, separator) if separator else None
        raise row_error(path, found[0], None, found[1]) if found else _empty_error(path)
    return table


def _check_header(path: Path, separator: str) -> None:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(filter(None, csv.reader(file, delimiter=separator)), None)
    if header is None:
        raise _empty_error(path)
    for column in header:
        if header.count(column) > 1:
            raise row_error(path, 1, column, "stands twice in the header; rename one of the two")


def _empty_error(path: Path) -> DataError:
    return DataError(f"{path}: is empty; it needs a header and at least one row")


def _explain(path: Path, separator: str | None, error: Exception) -> DataError:
    """Find the row that polars could not read; it names none."""
    found = _first_malformed(path, separator) if separator else None
    if found:
        return row_error(path, found[0], None, found[1])
    return DataError(f"{path}: cannot be read: {str(error).splitlines()[0]}")


def _first_malformed(path: Path, separator: str) -> tuple[int, str] | None:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number, "is not UTF-8; save the file in this encoding"
    with path.open(encoding="utf-8-sig", newline="") as file:
        text: list[str] = []
        reader = csv.reader(_noted(file, text), delimiter=separator, strict=True)
        row, width = 1, 0
        try:
            for record in reader:
                width = width or len(record)
                if len(record) > width:
                    problem = f"has {len(record)} fields, the header has {width}"
                    return row, f"{problem}; quote fields that hold the separator"
                if "".join(text).count('"') % 2:
                    return row, 'holds a stray "; put its field in quotes and double the one inside'
                row = reader.line_num + 1
                text.clear()
        except csv.Error as error:
            return row, f"is malformed ({error}); close its quotes and double those inside fields"
    return None


def _noted(lines: Iterable[str], text: list[str]) -> Iterator[str]:
    """The same lines, each of which is also added to `text`."""
    for line in lines:
        text.append(line)
        yield line

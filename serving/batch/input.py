"""The table of users: Parquet with one row a user, read by ranges of rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from rec_gen.errors import DataError, first_line
from serving.batch.config import ColumnsConfig

CHECKED = 5_000_000
"""Users that are compared at once, so that the memory of the check has a bound."""


@dataclass(frozen=True)
class Users:
    """The table of users.

    Attributes:
        files: Its files; their rows are numbered from 0 through all of them.
        rows: How many rows each file has.
        columns: What the columns are called.
    """

    files: tuple[Path, ...]
    rows: tuple[int, ...]
    columns: ColumnsConfig

    def __len__(self) -> int:
        return sum(self.rows)

    @classmethod
    def open(cls, path: Path, columns: ColumnsConfig) -> "Users":
        """Look at the schema of all files.

        Args:
            path: A file, or a folder whose files `*.parquet` are taken in the order of their names.
            columns: What the columns are called.

        Raises:
            DataError: There is no row, a file cannot be read, or a column is missing or of another
                type.
        """
        files = tuple(sorted(path.glob("*.parquet"))) if path.is_dir() else (path,)
        if not files:
            raise DataError(f"{path}: holds no file *.parquet")
        types = [_types(file, columns) for file in files]
        for file, found in zip(files, types, strict=True):
            if found != types[0]:
                raise DataError(
                    f"{file}: its columns are of other types than those of {files[0].name} "
                    f"({_told(found)}; {_told(types[0])}): write all files alike"
                )
        rows = tuple(_scanned(file).select(pl.len()).collect().item() for file in files)
        if not any(rows):
            raise DataError(f"{path}: has no row; give at least one user")
        return cls(files, rows, columns)

    def read(self, start: int, stop: int) -> pl.DataFrame:
        """Read a range of rows.

        Returns:
            `row` (int64), `user`, `history` and, where there are any, `candidates`; the latter two
            are lists of strings.

        Raises:
            DataError: A file cannot be read, or has become shorter.
        """
        names = self.columns
        lists = {"history": names.history}
        if names.candidates is not None:
            lists["candidates"] = names.candidates
        chosen = [pl.col(names.user).alias("user")]
        chosen += [pl.col(n).cast(pl.List(pl.String)).alias(role) for role, n in lists.items()]
        with self._readable(start):
            frame = self._scan().select(chosen).slice(start, stop - start).collect()
        if frame.height != stop - start:
            raise DataError(f"{self.files[0].parent}: the users were changed: start anew")
        numbers = pl.int_range(start, stop, dtype=pl.Int64, eager=True)
        return frame.insert_column(0, numbers.alias("row"))

    def refuse_repeated(self) -> None:
        """Compare the ids of all users, a bounded number at once.

        Raises:
            DataError: A user stands in two rows, which are named.
        """
        turns = -(-len(self) // CHECKED)
        for turn in range(turns):
            user = pl.col("user")
            counted = (
                self._scan()
                .select(user=self.columns.user)
                .with_row_index("row")
                .filter(user.is_not_null() & (user.hash() % turns == turn))
                .group_by("user")
                .agg(rows=pl.len(), first=pl.col("row").min(), last=pl.col("row").max())
            )
            with self._readable(0):
                repeated = (
                    counted.filter(pl.col("rows") > 1)
                    .sort("first")
                    .head(1)
                    .collect(engine="streaming")
                )
            for name, _, first, last in repeated.iter_rows():
                raise DataError(
                    f"user '{name}' stands twice, in {self.place(first)} and {self.place(last)}: "
                    "give every user one row"
                )

    def absolute(self) -> "Users":
        """The same table for processes with another working directory."""
        return replace(self, files=tuple(file.absolute() for file in self.files))

    def place(self, row: int) -> str:
        """A row as a file and its row there, which is counted from 0."""
        for file, rows in zip(self.files, self.rows, strict=True):
            if row < rows:
                return f"{file} row {row}"
            row -= rows
        raise IndexError(row)

    @contextmanager
    def _readable(self, start: int) -> Iterator[None]:
        try:
            yield
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{self.place(start)}: cannot be read from there on: {first_line(error)}"
            ) from error

    def _scan(self) -> pl.LazyFrame:
        return _scanned(*self.files)


def _scanned(*files: Path) -> pl.LazyFrame:
    return pl.scan_parquet(list(files), glob=False)


def _types(file: Path, columns: ColumnsConfig) -> dict[str, pl.DataType]:
    """The types of the columns that are read, by name."""
    try:
        schema = _scanned(file).collect_schema()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{file}: cannot be read as Parquet: {first_line(error)}") from error
    for role, name in columns.model_dump(exclude_none=True).items():
        if name not in schema:
            raise DataError(
                f"{file}: has no column '{name}', only {', '.join(schema)}: name it with "
                f"--set columns.{role}=NAME"
            )
        _refuse_type(file, role, name, schema[name])
    return {name: schema[name] for name in columns.model_dump(exclude_none=True).values()}


def _refuse_type(file: Path, role: str, name: str, dtype: pl.DataType) -> None:
    if role == "user":
        if not _is_id(dtype):
            raise DataError(f"{file}: column '{name}' is {dtype}: write ids as strings or integers")
    elif not isinstance(dtype, pl.List):
        raise DataError(
            f"{file}: column '{name}' is {dtype} and no list of item ids. Where each row is an "
            f"interaction, group them first: pl.scan_parquet(…).sort('time').group_by('user', "
            f"maintain_order=True).agg({name}=pl.col('item')).sink_parquet('users.parquet')"
        )
    elif not (_is_id(dtype.inner) or dtype.inner == pl.Null):
        raise DataError(f"{file}: column '{name}' is {dtype}: write ids as strings or integers")


def _is_id(dtype: object) -> bool:
    return dtype == pl.String or (isinstance(dtype, pl.DataType) and dtype.is_integer())


def _told(types: dict[str, pl.DataType]) -> str:
    return ", ".join(f"{name} {dtype}" for name, dtype in types.items())

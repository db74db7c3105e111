"""Times in any of the usual notations, as microseconds since 1970 in UTC."""

from dataclasses import dataclass

import polars as pl

from rec_gen.data.readers import RawTable
from rec_gen.errors import DataError

_FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M%:z",
    "%Y-%m-%d %H:%M:%S%.f%:z",
)


@dataclass(frozen=True)
class _Unit:
    """A unit of Unix time and the sizes of its numbers, which no other unit shares."""

    name: str
    low: float
    high: float
    microseconds: float


_UNITS = (
    _Unit("seconds", 0, 1e11, 1e6),
    _Unit("milliseconds", 1e11, 1e14, 1e3),
    _Unit("microseconds", 1e14, 1e17, 1),
    _Unit("nanoseconds", 1e17, 9.2e18, 1e-3),
)


@dataclass(frozen=True)
class TimeReader:
    """How one column of times is read.

    Attributes:
        microseconds: Int64, null where the column is empty or unreadable.
        expected: What a readable time is, for messages.
    """

    microseconds: pl.Expr
    expected: str


def time_reader(table: RawTable, column: str) -> TimeReader:
    """Find out how a column of times is to be read.

    Numbers are Unix time. Their largest tells the unit: 1e11 seconds are the year 5138 and 1e11
    milliseconds are 1973. A number of another unit's size is unreadable.

    Raises:
        DataError: The column is neither text, a number nor a date.
    """
    dtype, cell = table.schema[column], pl.col(column)
    if dtype.is_temporal() and dtype not in (pl.Time, pl.Duration):
        return TimeReader(cell.cast(pl.Datetime("us")).dt.epoch("us"), "a date")
    if dtype != pl.String and not dtype.is_numeric():
        raise DataError(f"{table.path}: column '{column}' is {dtype}; write it as Unix time")
    if dtype == pl.String:
        cell = cell.str.strip_chars()
    number = cell.cast(pl.Float64, strict=False)
    size = number.abs()
    unlike = (cell.is_not_null() & number.is_null()).any()
    query = table.frame.select(size.filter(size < _UNITS[-1].high).max(), unlike.alias("text"))
    largest, text = table.collect(query).row(0)
    unit = next(unit for unit in _UNITS if (largest or 0) < unit.high)
    fits = (size >= unit.low) & (size < unit.high)
    numeric = pl.when(fits).then((number * unit.microseconds).round().cast(pl.Int64, strict=False))
    if not text or dtype != pl.String:
        return TimeReader(numeric, f"Unix time in {unit.name}, like the largest of the column")
    spaced = cell.str.replace("T", " ", literal=True).str.replace("Z$", "+00:00")
    dates = [
        spaced.str.to_datetime(pattern, strict=False, time_unit="us").dt.epoch("us")
        for pattern in _FORMATS
    ]
    return TimeReader(pl.coalesce(numeric, *dates), f"Unix time in {unit.name} or an ISO 8601 date")

"""Sifting rows: the first bad one stops, or all bad ones are left out and counted."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from rec_gen.data.config import BadRows
from rec_gen.data.readers import ROW, RawTable, row_error

BLANK = "blank line"
"""The reason of rows without any value; they never stop anything."""


@dataclass(frozen=True)
class Fault:
    """One thing that can be wrong with a row.

    Attributes:
        column: The column of the file that is at fault.
        is_bad: Whether a row has this fault.
        reason: The name under which rows are counted.
        problem: What is wrong with a value and the mend; `{value}` stands for the value.
    """

    column: str
    is_bad: pl.Expr
    reason: str
    problem: str = ""


def sift(
    table: RawTable, frame: pl.LazyFrame, faults: Sequence[Fault], bad_rows: BadRows
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Collect a query on a table without its bad rows.

    Args:
        table: Where the rows come from.
        frame: The query; it keeps `#row`.
        faults: What can be wrong; a row counts under the first that it has.
        bad_rows: What happens to a bad row.

    Returns:
        The good rows, and the bad ones' number by reason.

    Raises:
        DataError: A row is bad and `bad_rows` is `error`.
    """
    marks = [pl.when(fault.is_bad).then(pl.lit(n, pl.UInt8)) for n, fault in enumerate(faults)]
    rows = table.collect(frame.with_columns(pl.coalesce(marks).alias("#fault")))
    bad = rows.select(ROW, "#fault").drop_nulls()
    if bad_rows == "error":
        for record, number in bad.sort(ROW).iter_rows():
            if faults[number].reason != BLANK:
                _raise(table, record, faults[number])
    counts = bad["#fault"].value_counts().sort("#fault").iter_rows()
    good = rows.filter(pl.col("#fault").is_null()) if len(bad) else rows
    return good.drop("#fault"), {faults[number].reason: count for number, count in counts}


def _raise(table: RawTable, record: int, fault: Fault) -> None:
    cell = table.frame.filter(pl.col(ROW) == record).select(fault.column)
    value = " ".join(str(table.collect(cell).item() or "").split())
    problem = fault.problem.replace("{value}", value) if value else "is empty; fill it in"
    skip = 'or leave such rows out with bad_rows = "skip"'
    raise row_error(table.path, table.row(record), fault.column, f"{problem}, {skip}")

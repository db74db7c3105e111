"""Reading tables: notations of time, kinds of files, what is kept."""

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rec_gen.catalog import Catalog
from rec_gen.data.config import ItemTable
from rec_gen.data.readers import open_table
from rec_gen.data.tables import read_catalog, read_interactions
from rec_gen.data.times import time_reader
from rec_gen.errors import DataError

NOON = 1_704_110_400
"""2024-01-01 12:00 in UTC, in seconds."""


@pytest.mark.parametrize(
    "text",
    [
        "1704110400", "1704110400.0", " 1704110400 ", "1704110400000", "1704110400000000",
        "1704110400000000000", "2024-01-01T12:00:00Z", "2024-01-01T12:00:00", "2024-01-01 12:00",
        "2024-01-01 12:00:00.000", "2024-01-01T14:00:00+02:00", "2024-01-01T12:00Z",
        "2024-01-01T07:00:00.000-05:00",
    ],
)  # fmt: skip
def test_notations_of_time(tmp_path: Path, text: str) -> None:
    path = tmp_path / "times.csv"
    path.write_text(f"n,time\n1,{text}\n")
    table = open_table(path)
    reader = time_reader(table, "time")
    assert table.collect(table.frame.select(reader.microseconds)).item() == NOON * 10**6


@pytest.mark.parametrize(
    "value",
    [
        NOON,
        float(NOON),
        NOON * 1000,
        datetime(2024, 1, 1, 12),  # noqa: DTZ001
        datetime(2024, 1, 1, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_times_in_parquet(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "times.parquet"
    pl.DataFrame({"time": [value]}).write_parquet(path)
    table = open_table(path)
    reader = time_reader(table, "time")
    assert table.collect(table.frame.select(reader.microseconds)).item() == NOON * 10**6


def test_dates_are_midnight_in_utc(tmp_path: Path) -> None:
    csv, parquet = tmp_path / "times.csv", tmp_path / "times.parquet"
    csv.write_text("time\n2024-01-01\n")
    pl.DataFrame({"time": [date(2024, 1, 1)]}).write_parquet(parquet)
    for path in (csv, parquet):
        table = open_table(path)
        reader = time_reader(table, "time")
        microseconds = table.collect(table.frame.select(reader.microseconds)).item()
        assert microseconds == (NOON - 12 * 3600) * 10**6


def test_numbers_and_dates_may_stand_together(tmp_path: Path) -> None:
    path = tmp_path / "times.csv"
    path.write_text("time\n1704110400\n2024-01-01T12:00:00Z\n-60\n")
    table = open_table(path)
    values = table.collect(table.frame.select(time_reader(table, "time").microseconds))
    assert values["time"].to_list() == [NOON * 10**6, NOON * 10**6, -60 * 10**6]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_kinds_of_files_read_alike(tmp_path: Path, suffix: str) -> None:
    goods = pl.DataFrame({"sku": [7, 8], "name": ["Ä, B", 'say "hi"'], "price": ["1", "2"]})
    sales = pl.DataFrame({"who": [1, 1], "sku": [8, 7], "at": [5, 6], "stars": [1.5, 2.0]})
    paths = [tmp_path / f"{name}{suffix}" for name in ("goods", "sales")]
    for frame, path in zip((goods, sales), paths, strict=True):
        if suffix == ".parquet":
            frame.write_parquet(path)
        else:
            frame.write_csv(path, separator="," if suffix == ".csv" else "\t")
    catalog, _ = read_catalog(ItemTable(path=paths[0], id="sku", title="name"), "error")
    assert catalog.frame.rows() == [("7", "Ä, B", "1"), ("8", 'say "hi"', "2")]
    roles = {"user": "who", "item": "sku", "time": "at", "weight": "stars"}
    rows, left_out = read_interactions(open_table(paths[1]), roles, catalog, "error")
    assert rows.rows() == [("1", 1, 5_000_000, 1.5), ("1", 0, 6_000_000, 2.0)]
    assert left_out == {}


def test_windows_text_and_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes("\ufeffitem,title\r\na,A\r\n\r\nb,B\r\n\r\n".encode())
    catalog, left_out = read_catalog(ItemTable(path=tmp_path / "items.csv"), "error")
    assert catalog.frame.rows() == [("a", "A"), ("b", "B")]
    assert left_out == {"blank line": 2}


def test_a_row_with_only_a_column_that_is_not_kept_is_not_blank(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,title,price\na,A,3\n,,4\n")
    with pytest.raises(DataError, match=r"row 3, column 'item': is empty"):
        read_catalog(ItemTable(path=tmp_path / "items.csv", columns=()), "error")
    (tmp_path / "log.csv").write_text("user,item,note\nu,a,\n,,late\n")
    catalog = Catalog(pl.DataFrame({"item": ["a"], "title": ["A"]}))
    with pytest.raises(DataError, match=r"row 3, column 'user': is empty"):
        read_interactions(
            open_table(tmp_path / "log.csv"), {"user": "user", "item": "item"}, catalog, "error"
        )


def test_metadata_columns_can_be_limited(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,title,brand,price\na,A,Acme,3\n")
    config = ItemTable(path=tmp_path / "items.csv", columns=("price",))
    assert read_catalog(config, "error")[0].frame.columns == ["item", "title", "price"]


def test_repeated_id_after_a_bad_row_is_kept(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,title\na,\na,A\na,B\n")
    catalog, left_out = read_catalog(ItemTable(path=tmp_path / "items.csv"), "skip")
    assert catalog.titles == ["A"]
    assert left_out == {"title is empty": 1, "item id stands twice": 1}

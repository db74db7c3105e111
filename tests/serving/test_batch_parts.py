"""Parts, the table they are read from, and the estimate of what is left."""

import itertools
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from rec_gen.errors import DataError, NoEligibleItemError, RecGenError
from serving.batch import input as users_input
from serving.batch import progress
from serving.batch.config import ColumnsConfig
from serving.batch.input import Users
from serving.batch.parts import cut, missing
from serving.batch.progress import seconds_left, told
from serving.halving import answer_each

NAMES = ColumnsConfig()


@given(st.integers(0, 200), st.integers(1, 50), st.data())
def test_parts_hold_every_row_once_and_those_with_a_file_are_done(
    rows: int, size: int, data: st.DataObject
) -> None:
    parts = cut(rows, size)
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(rows))
    done = data.draw(st.sets(st.sampled_from(parts))) if parts else set()
    with TemporaryDirectory() as place:
        for part in done:
            part.answers(Path(place)).touch()
        for part in parts:
            part.failed(Path(place)).touch()
        assert missing(parts, Path(place)) == [part for part in parts if part not in done]


@given(st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=30), st.data())
def test_any_range_of_rows_is_read_over_the_borders_of_files(
    histories: list[list[int]], data: st.DataObject
) -> None:
    ends = data.draw(st.lists(st.integers(0, len(histories)), max_size=3))
    start = data.draw(st.integers(0, len(histories) - 1))
    stop = data.draw(st.integers(start + 1, len(histories)))
    frame = pl.DataFrame(
        {"user": range(len(histories)), "history": histories},
        schema={"user": pl.Int32, "history": pl.List(pl.Int64)},
    )
    with TemporaryDirectory() as place:
        bounds = [0, *sorted(ends), len(histories)]
        for number, (first, last) in enumerate(itertools.pairwise(bounds)):
            frame[first:last].write_parquet(Path(place) / f"{number}.parquet", row_group_size=2)
        users = Users.open(Path(place), NAMES)
        read = users.read(start, stop)
        users.refuse_repeated()
        assert len(users) == len(histories)
    assert read["row"].to_list() == read["user"].to_list() == list(range(start, stop))
    assert read["history"].to_list() == [list(map(str, each)) for each in histories[start:stop]]


@given(st.lists(st.sampled_from([None, *range(12)]), min_size=1, max_size=12))
def test_a_repeated_user_is_found_in_any_pass(ids: list[int | None]) -> None:
    known = [user for user in ids if user is not None]
    repeated = {user for user in known if known.count(user) > 1}
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(users_input, "CHECKED", 3)
        path = Path(place) / "users.parquet"
        schema: dict[str, Any] = {"user": pl.Int64, "history": pl.List(pl.String)}
        pl.DataFrame({"user": ids, "history": [[]] * len(ids)}, schema).write_parquet(path)
        users = Users.open(path, NAMES)
        if not repeated:
            users.refuse_repeated()
            return
        with pytest.raises(DataError, match="give every user one row") as caught:
            users.refuse_repeated()
    rows = [row for row, user in enumerate(ids) if f"user '{user}' stands" in str(caught.value)]
    assert len(rows) > 1
    for row in (rows[0], rows[-1]):
        assert f"users.parquet row {row}" in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"user": ["a"]}, r"has no column 'history', only user: name it with --set columns\."),
        ({"user": ["a"], "history": ["i1"]}, "no list of item ids. Where each row is an inter"),
        ({"user": [0.5], "history": [["i1"]]}, "column 'user' is Float64: write ids as strings"),
        ({"user": ["a"], "history": [[0.5]]}, "'history' is List.Float64.: write ids as strings"),
        ({"user": [], "history": []}, "has no row"),
    ],
)
def test_another_table_is_refused(
    columns: dict[str, list[object]], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "users.parquet"
    empty: dict[str, Any] = {"user": pl.String, "history": pl.List(pl.String)}
    pl.DataFrame(columns, None if columns["user"] else empty).write_parquet(path)
    with pytest.raises(DataError, match=told):
        Users.open(path, NAMES)


def test_files_that_are_none_or_differ_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no file \*.parquet"):
        Users.open(tmp_path, NAMES)
    for name, user in (("a", "u"), ("b", 1)):
        file = tmp_path / f"{name}.parquet"
        pl.DataFrame({"user": [user], "history": [["i1"]]}).write_parquet(file)
    with pytest.raises(DataError, match=r"b.parquet: its columns are of other types"):
        Users.open(tmp_path, NAMES)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"a.parquet: cannot be read as Parquet"):
        Users.open(tmp_path, NAMES)


def test_an_estimate_counts_what_this_run_did() -> None:
    assert seconds_left(100, 50, 50, 9) is None
    assert seconds_left(100, 50, 60, 10) == 40
    assert seconds_left(100, 0, 100, 10) == 0
    assert told(None) == "no estimate yet"
    assert told(0) == "done"
    assert told(59) == "under 1 min left"
    assert told(150) == "2 min left"
    assert told(9000) == "2.5 h left"


def test_without_a_terminal_lines_come_while_a_part_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    lines = StringIO()
    with progress.JobProgress(100, 0, Console(file=lines, width=80)) as bar:
        bar.advance(10)
        assert "10 of 100" in lines.getvalue()


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_what_one_did_wrong_harms_no_other(right: list[bool]) -> None:
    def ask(places: Sequence[int]) -> list[int]:
        asked = list(places)
        for place in asked:
            if not right[place]:
                raise NoEligibleItemError(asked.index(place))
        return asked

    found = answer_each(ask, range(len(right)))
    for place, answer in enumerate(found):
        assert answer == place if right[place] else isinstance(answer, RecGenError)
    if not all(right):
        with pytest.raises(NoEligibleItemError):
            answer_each(ask, range(len(right)), harmless=(DataError,))

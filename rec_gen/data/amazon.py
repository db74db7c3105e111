"""Two data sets of Amazon reviews, in the splits that papers compare on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from rec_gen.data.dataset import Split
from rec_gen.data.readers import ROW, RawTable, open_table, row_error
from rec_gen.data.tables import Tables, read_interactions, sift_items
from rec_gen.errors import DataError

_ITEM = {"item": "item_id", "title": "title"}
_HISTORY = 10
_SPLIT_FILES = {"train.tsv": Split.TRAIN, "valid.tsv": Split.VALID, "test.tsv": Split.TEST}


def read_beauty(folder: Path) -> Tables:
    """Read Amazon Beauty 2014: one line a user, `user item item ...`, oldest first.

    An item without a title is called by its `text_id`, words from its description.
    """
    table = open_table(folder / "items.csv")
    table.require(("item_id", "asin", "title", "text_id"), "restore the file")
    title = pl.coalesce("title", "text_id").alias("title")
    table = replace(table, frame=table.frame.with_columns(title))
    catalog, _ = sift_items(table, _ITEM, ("asin", "text_id"), "error")
    path = folder / "sequences.txt"
    rows = [
        (line, user, item)
        for line, cells in enumerate(map(str.split, _lines(path)))
        for user in cells[:1]
        for item in cells[1:]
    ]
    frame = pl.DataFrame(rows, schema=[ROW, "user", "item"], orient="row").lazy()
    roles = {"user": "user", "item": "item"}
    interactions, _ = read_interactions(RawTable(path, frame), roles, catalog, "error")
    return Tables(catalog, interactions, {})


def read_industrial(folder: Path) -> Tables:
    """Read Amazon Industrial and Scientific 2018, as MiniOneRec (Kong et al., 2025) splits it.

    Its rows are (user, history of at most 10 items, target). Read in the order of train, valid
    and test, each history repeats the end of the user's first history and targets so far; so the
    interactions behind the rows are rebuilt, the first history as context. The files hold no
    times, but their rows are in the order of time, which `place` keeps.

    Raises:
        DataError: A row does not continue its user's earlier rows.
    """
    table = open_table(folder / "items.csv")
    table.require(("item_id", "title", "brand", "description"), "restore the file")
    catalog, _ = sift_items(table, _ITEM, ("brand", "description"), "error")
    users: dict[str, list[str]] = {}
    rows: list[tuple[str, str, Split]] = []
    for path, line, (user, history, target) in _industrial_rows(folder):
        past = history.split()
        if user not in users:
            users[user] = past
            rows += [(user, item, Split.CONTEXT) for item in past]
        if not past or users[user][-_HISTORY:] != past:
            problem = f"does not continue the earlier rows of user '{user}'; restore the file"
            raise row_error(path, line, "history", problem)
        for column, item in [("history", past[-1]), ("target", target)]:
            if item not in catalog.positions:
                problem = f"item '{item}' is not in items.csv; restore the file"
                raise row_error(path, line, column, problem)
        users[user].append(target)
        rows.append((user, target, _SPLIT_FILES[path.name]))
    frame = pl.DataFrame(rows, schema=["user", "item", "split"], orient="row")
    raw = RawTable(folder, frame.with_row_index(ROW).lazy())
    roles = {role: role for role in frame.columns}
    interactions, _ = read_interactions(raw, roles, catalog, "error")
    return Tables(catalog, interactions.with_row_index("place"), {})


def _industrial_rows(folder: Path) -> Iterator[tuple[Path, int, list[str]]]:
    """Path, row and cells of each row of the three files."""
    for name in _SPLIT_FILES:
        path = folder / name
        for line, text in enumerate(_lines(path)[1:], start=2):
            cells = text.split("\t")
            if len(cells) != 3:
                raise row_error(path, line, None, "has not three columns; restore the file")
            yield path, line, cells


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); restore the file") from error

"""Checked tables: a catalog, and interactions whose items are all in it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.data.checks import BLANK, Fault, sift
from rec_gen.data.config import BadRows, InteractionTable, ItemTable, SplitConfig, UserTable
from rec_gen.data.dataset import Split
from rec_gen.data.readers import ROW, RawTable, open_table
from rec_gen.data.times import time_reader
from rec_gen.errors import DataError

SPLIT = pl.Enum(Split)
_BLANK = "#blank"


@dataclass(frozen=True)
class Tables:
    """What was read: checked, but neither ordered nor split.

    Attributes:
        catalog: The items.
        interactions: `user` (string), `item` (UInt32 catalog position) and, where the input has
            them, `time` (Int64 microseconds), `rating`, `weight` (Float32) and `split` (Enum).
            Without times, a user's rows stand oldest first, and `place` (UInt32) may order them
            all.
        left_out: The number of rows left out, by what they are (`items`, `interactions`,
            `user rows`) and reason.
        users: `user` (string, unique) and what else is known of users, in any order.
    """

    catalog: Catalog
    interactions: pl.DataFrame
    left_out: dict[str, dict[str, int]]
    users: pl.DataFrame | None = None


def read_own_tables(
    interactions: InteractionTable,
    items: ItemTable,
    split: SplitConfig,
    bad_rows: BadRows,
    users: UserTable | None = None,
) -> Tables:
    """Read the tables that a configuration names.

    Raises:
        DataError: A table lacks a column, cannot be read, or has a bad row.
    """
    catalog, bad_items = read_catalog(items, bad_rows)
    roles = interactions.model_dump(exclude={"path"}, exclude_none=True)
    if split.column:
        roles["split"] = split.column
    paths = (interactions.path, split.valid_path, split.test_path)
    parts, bad = [], Counter[str]()
    for path, name in zip(paths, (Split.TRAIN, Split.VALID, Split.TEST), strict=True):
        if path is None:
            continue
        rows, counts = read_interactions(open_table(path), roles, catalog, bad_rows)
        bad.update(counts)
        if split.test_path:
            rows = rows.with_columns(pl.lit(name, SPLIT).alias("split"))
        parts.append(rows)
    known, bad_users = read_users(users, bad_rows) if users else (None, {})
    left_out = {"items": bad_items, "interactions": dict(bad), "user rows": bad_users}
    return Tables(catalog, pl.concat(parts), left_out, known)


def read_catalog(config: ItemTable, bad_rows: BadRows) -> tuple[Catalog, dict[str, int]]:
    """Read a table of items.

    Returns:
        The catalog in the order of the file, and the number of rows left out by reason.

    Raises:
        DataError: A column is missing, or an id or a title is empty or an id stands twice.
    """
    table = open_table(config.path)
    table.require([config.id], "set items.id to one of its columns")
    table.require([config.title], "set items.title to one of its columns")
    roles = {"item": config.id, "title": config.title}
    return sift_items(table, roles, _metadata(table, config.columns, roles, "items"), bad_rows)


def read_users(config: UserTable, bad_rows: BadRows) -> tuple[pl.DataFrame, dict[str, int]]:
    """Read a table of users.

    Returns:
        `user` and the other columns in the order of the file, and the number of rows left out by
        reason.

    Raises:
        DataError: A column is missing, or an id is empty or stands twice.
    """
    table, roles = open_table(config.path), {"user": config.id}
    table.require([config.id], "set users.id to one of its columns")
    metadata = _metadata(table, config.columns, roles, "users")
    user = pl.col("user")
    faults = [
        Fault(config.id, pl.col(_BLANK), BLANK),
        Fault(config.id, user.is_null(), "user id is empty"),
        _repeated("user", config.id, user.is_first_distinct()),
    ]
    named = _text(table, config.id).alias("user")
    frame = table.frame.select(ROW, _blank(table), named, *metadata)
    rows, left_out = sift(table, frame, faults, bad_rows)
    return rows.drop(ROW, _BLANK), left_out


def _metadata(
    table: RawTable, columns: tuple[str, ...] | None, roles: Mapping[str, str], key: str
) -> tuple[str, ...]:
    """The columns to keep beside those with a role.

    Raises:
        DataError: One is missing, or has the name of a role.
    """
    kept = columns
    if kept is None:
        kept = tuple(column for column in table.schema if column not in roles.values())
    table.require(kept, f"set {key}.columns to some of its columns")
    for name in roles:
        if name in kept:
            mend = f"rename it, or list the columns to keep in {key}.columns without it"
            raise DataError(f"{table.path}: metadata column '{name}' has a reserved name; {mend}")
    return kept


def _repeated(role: str, column: str, first: pl.Expr) -> Fault:
    problem = "'{value}' stands more than once; remove the repeated row"
    return Fault(column, ~first, f"{role} id stands twice", problem)


def sift_items(
    table: RawTable, roles: Mapping[str, str], metadata: tuple[str, ...], bad_rows: BadRows
) -> tuple[Catalog, dict[str, int]]:
    """Check a table of items whose columns are known to be there; see `read_catalog`."""
    item, title = pl.col("item"), pl.col("title")
    first = pl.when(item.is_not_null() & title.is_not_null()).then(item).is_first_distinct()
    faults = [
        Fault(roles["item"], pl.col(_BLANK), BLANK),
        Fault(roles["item"], item.is_null(), "item id is empty"),
        Fault(roles["title"], title.is_null(), "title is empty"),
        _repeated("item", roles["item"], first),
    ]
    named = [_text(table, column).alias(role) for role, column in roles.items()]
    frame = table.frame.select(ROW, _blank(table), *named, *metadata)
    rows, left_out = sift(table, frame, faults, bad_rows)
    if rows.is_empty():
        raise DataError(f"{table.path}: no item is left; mend its rows")
    return Catalog(rows.drop(ROW, _BLANK)), left_out


def read_interactions(
    table: RawTable, roles: Mapping[str, str], catalog: Catalog, bad_rows: BadRows
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Check a table of interactions.

    Args:
        table: The table.
        roles: The column of `user`, `item` and, where there are any, of `time`, `rating`,
            `weight` and `split`.
        catalog: The items that may occur.
        bad_rows: What happens to a bad row.

    Returns:
        The interactions as in `Tables`, and the number of rows left out by reason.

    Raises:
        DataError: A column is missing, or a row is bad.
    """
    for role, column in roles.items():
        key = "split.column" if role == "split" else f"interactions.{role}"
        table.require([column], f"set {key} to one of its columns")
    user, item = _text(table, roles["user"]), _text(table, roles["item"])
    place = item.cast(pl.Enum(catalog.ids), strict=False).to_physical().cast(pl.UInt32)
    parsed = {"user": user, "item": place, "unnamed": item.is_null()}
    faults = [
        Fault(roles["item"], pl.col(_BLANK), BLANK),
        Fault(roles["user"], pl.col("user").is_null(), "user id is empty"),
        Fault(roles["item"], pl.col("unnamed"), "item id is empty"),
        Fault(
            roles["item"], pl.col("item").is_null(), "item is not in the catalog",
            "item '{value}' is not in the table of items; add it there",
        ),
    ]  # fmt: skip
    for role, column in roles.items():
        if role not in ("user", "item"):
            parsed[role], expected = _value(table, role, column)
            reason, problem = f"{role} is empty or unreadable", f"'{{value}}' is not {expected}"
            faults.append(Fault(column, pl.col(role).is_null(), reason, f"{problem}; correct it"))
    frame = table.frame.select(ROW, _blank(table), **parsed)
    rows, left_out = sift(table, frame, faults, bad_rows)
    return rows.drop(ROW, _BLANK, "unnamed"), left_out


def _value(table: RawTable, role: str, column: str) -> tuple[pl.Expr, str]:
    """How a column is read into a role, and what its values must be."""
    if role == "time":
        reader = time_reader(table, column)
        return reader.microseconds, reader.expected
    if role == "split":
        return _text(table, column).cast(SPLIT, strict=False), "one of " + ", ".join(Split)
    dtype, cell = table.schema[column], pl.col(column)
    if dtype == pl.String:
        cell = cell.str.strip_chars()
    elif not dtype.is_numeric():
        raise DataError(f"{table.path}: column '{column}' is {dtype}; write it as numbers")
    number = cell.cast(pl.Float32, strict=False)
    return pl.when(number.is_finite()).then(number), "a number"


def _blank(table: RawTable) -> pl.Expr:
    """Whether no column of the file, kept or not, holds anything in a row."""

    def is_empty(name: str, dtype: pl.DataType) -> pl.Expr:
        cell = pl.col(name)
        blanks = cell.str.strip_chars() == "" if dtype == pl.String else False
        return cell.is_null() | blanks

    return pl.all_horizontal(is_empty(*column) for column in table.schema.items()).alias(_BLANK)


def _text(table: RawTable, column: str) -> pl.Expr:
    """A column of ids or titles as text without blanks around it, null where nothing is left."""
    dtype, cell = table.schema[column], pl.col(column)
    if dtype.is_integer():
        return cell.cast(pl.String)
    if dtype not in (pl.String, pl.Categorical, pl.Enum):
        raise DataError(f"{table.path}: column '{column}' is {dtype}; write it as text or integers")
    stripped = cell.cast(pl.String).str.strip_chars()
    return pl.when(stripped != "").then(stripped)

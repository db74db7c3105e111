"""Personal data taken out of tables before they are split and stored."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.progress import track

from rec_gen.catalog import Catalog
from rec_gen.data.config import DataMasking
from rec_gen.data.tables import Tables
from rec_gen.errors import ConfigError
from rec_gen.masking import Masker
from rec_gen.pseudonyms import pseudonym, read_user_key

Findings = dict[str, dict[str, int]]
"""How much was masked, by column, such as `users.reply`, and by kind."""


def mask_tables(tables: Tables, config: DataMasking) -> tuple[Tables, Findings]:
    """Mask the columns that a configuration names, and put pseudonyms in the place of user ids.

    Raises:
        MissingPackageError: Presidio is not installed.
        ConfigError: A column is missing or holds no text, there is no text at all, or the key or
            the model of names cannot be read.
    """
    if config.user_key is not None:
        tables = _with_pseudonyms(tables, config.user_key)
    users, items = tables.users, tables.catalog.frame
    columns = config.users
    if columns is None:
        columns = () if users is None else _text_columns(users)
    if not columns and not config.items:
        if config.user_key is not None:
            return tables, {}
        raise ConfigError(
            "mask: the users have no text: name columns in mask.items, or leave it out"
        )
    masker, found = Masker(config), dict[str, dict[str, int]]()
    items = _masked(items, config.items, "items", masker, found)
    if columns:
        known = pl.DataFrame({"user": []}) if users is None else users
        users = _masked(known, columns, "users", masker, found)
    return replace(tables, catalog=Catalog(items), users=users), found


def _text_columns(frame: pl.DataFrame) -> tuple[str, ...]:
    """The columns of text and of lists of text, without ids."""
    kinds = (pl.String, pl.List(pl.String))
    ids = ("user", "item")
    return tuple(name for name, kind in frame.schema.items() if kind in kinds and name not in ids)


def _masked(
    frame: pl.DataFrame, columns: Sequence[str], table: str, masker: Masker, found: Findings
) -> pl.DataFrame:
    texts, console = _text_columns(frame), Console(stderr=True)
    for name in columns:
        if name not in texts:
            there = ", ".join(texts) or "none"
            raise ConfigError(f"mask.{table}: '{name}' is no column of text; there are {there}")
        cells, inner = frame[name], pl.col(name)
        several = isinstance(cells.dtype, pl.List)
        counts = (cells.explode() if several else cells).drop_nulls().value_counts()
        changed, kinds = dict[str, str](), Counter[str]()
        for text, times in track(
            counts.iter_rows(),
            f"masking {table}.{name}",
            len(counts),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ):
            masked = masker.mask(text)
            if masked.found:
                changed[text] = masked.text
                kinds.update({kind: times * count for kind, count in masked.found.items()})
        inner = pl.element() if several else inner
        mapped = inner.replace(list(changed), list(changed.values()))
        frame = frame.with_columns(pl.col(name).list.eval(mapped) if several else mapped)
        found[f"{table}.{name}"] = dict(sorted(kinds.items()))
    return frame


def _with_pseudonyms(tables: Tables, path: Path) -> Tables:
    key = read_user_key(path)
    names = tables.interactions["user"].unique()
    known = tables.users
    if known is not None:
        names = pl.concat([names, known["user"]]).unique()
    hidden = [pseudonym(user, key) for user in names]

    def hide(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.col("user").replace_strict(names, hidden))

    return replace(
        tables,
        interactions=hide(tables.interactions),
        users=None if known is None else hide(known),
    )

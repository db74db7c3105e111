"""OpenDialKG (Moon et al., 2019): recommendations in conversations, as iEvaLM splits them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.data.dataset import ENTITIES, REPLY, UTTERANCES, Split
from rec_gen.data.readers import ROW, RawTable, row_error
from rec_gen.data.tables import Tables, read_interactions
from rec_gen.errors import DataError

INFO = "id2info.json"
_FIELDS = ("genre", "director", "actor", "writer", "language")


def read_opendialkg(folder: Path) -> Tables:
    """Read OpenDialKG: each turn that recommends becomes a user.

    Its context is the catalog's items among the entities mentioned before the turn; its targets
    are the items that the turn recommends. What was said before the turn, and the entities that
    were named, are known of the user, and so is what the turn itself says, which is a reply to
    learn and in no prompt. Turns of one dialog may lie in several splits, so that a whole dialog as
    one user would show a held-out item to training. What a later training turn quotes of a held-out
    one still does.
    """
    names = _load(folder / "entity2id.json")
    ids = {str(item) for item in _load(folder / "item_ids.json")}
    known = {name: str(number) for name, number in names.items() if str(number) in ids}
    catalog = _catalog(folder, known)
    rows: list[tuple[str, str, Split]] = []
    said: list[tuple[str, list[str], list[str], str]] = []
    unknown = 0
    for split in (Split.TRAIN, Split.VALID, Split.TEST):
        for user, utterances, entities, recommended, reply in _turns(folder / f"{split}.jsonl"):
            mentioned = [known[name] for name in entities if name in known]
            targets = [known[name] for name in recommended if name in known]
            unknown += len(recommended) - len(targets)
            rows += [(user, item, Split.CONTEXT) for item in mentioned if targets]
            rows += [(user, item, split) for item in targets]
            if targets:
                said.append((user, utterances, entities, reply))
    frame = pl.DataFrame(rows, schema=["user", "item", "split"], orient="row")
    raw = RawTable(folder, frame.with_row_index(ROW).lazy())
    roles = {role: role for role in frame.columns}
    interactions, _ = read_interactions(raw, roles, catalog, "error")
    reasons = {"item is not in the catalog": unknown} if unknown else {}
    lists = dict.fromkeys((UTTERANCES, ENTITIES), pl.List(pl.String))
    users = pl.DataFrame(said, schema={"user": pl.String, **lists, REPLY: pl.String}, orient="row")
    return Tables(catalog, interactions, {"interactions": reasons}, users)


def _catalog(folder: Path, known: dict[str, str]) -> Catalog:
    """Items with their facts; the facts are numbered otherwise and found by name."""
    facts = {fact.get("name"): fact for fact in _load(folder / INFO).values()}
    rows = []
    for name, item in known.items():
        fact = facts.get(name, {})
        year = fact.get("year")
        columns = {field: list(dict.fromkeys(fact.get(field, []))) for field in _FIELDS}
        title = f"{name} ({year})" if year else name
        rows.append({"item": item, "title": title, "year": year, **columns})
    lists = dict.fromkeys(_FIELDS, pl.List(pl.String))
    frame = pl.DataFrame(rows, schema_overrides={"year": pl.String, **lists})
    try:
        return Catalog(frame.with_columns(pl.col("year").cast(pl.Int32)))
    except pl.exceptions.InvalidOperationError as error:
        raise DataError(f"{folder / INFO}: a year is no whole number; restore the file") from error


def _turns(path: Path) -> Iterator[tuple[str, list[str], list[str], list[str], str]]:
    """Each turn's id, what was said and named before it, its titles, and what it says itself."""
    for row, line in enumerate(_read(path).split("\n"), start=1):
        if line:
            try:
                turn = json.loads(line)
                user = f"{turn['dialog_id']}-{turn['turn_id']}"
                yield user, turn["context"], turn["entity"], turn["rec"], turn["resp"]
            except (ValueError, KeyError, TypeError) as error:
                problem = f"is no recommending turn ({error!r}); restore the file"
                raise row_error(path, row, None, problem) from error


def _load(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error}); restore the file") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); restore the file") from error

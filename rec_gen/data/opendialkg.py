"""OpenDialKG (Moon et al., 2019): recommendations in conversations, as iEvaLM splits them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Split
from rec_gen.data.readers import ROW, RawTable
from rec_gen.data.tables import Tables, read_interactions
from rec_gen.errors import DataError

_FIELDS = ("genre", "director", "actor", "writer", "language")


def read_opendialkg(folder: Path) -> Tables:
    """Read OpenDialKG: each turn that recommends becomes a user.

    Its context is the catalog's items among the entities mentioned before the turn; its targets
    are the items that the turn recommends. Turns of one dialog may lie in several splits, so that
    a whole dialog as one user would show a held-out item to training.
    """
    names = _parse(folder / "entity2id.json", json.loads)
    ids = {str(item) for item in _parse(folder / "item_ids.json", json.loads)}
    known = {name: str(number) for name, number in names.items() if str(number) in ids}
    catalog = _catalog(folder, known)
    rows: list[tuple[str, str, Split]] = []
    unknown = 0
    for split in (Split.TRAIN, Split.VALID, Split.TEST):
        for turn in _parse(folder / f"{split}.jsonl", _json_lines):
            user = f"{turn['dialog_id']}-{turn['turn_id']}"
            mentioned = [known[name] for name in turn["entity"] if name in known]
            targets = [known[name] for name in turn["rec"] if name in known]
            unknown += len(turn["rec"]) - len(targets)
            rows += [(user, item, Split.CONTEXT) for item in mentioned if targets]
            rows += [(user, item, split) for item in targets]
    frame = pl.DataFrame(rows, schema=["user", "item", "split"], orient="row")
    raw = RawTable(folder, frame.with_row_index(ROW).lazy())
    roles = {role: role for role in frame.columns}
    interactions, _ = read_interactions(raw, roles, catalog, "error")
    reasons = {"item is not in the catalog": unknown} if unknown else {}
    return Tables(catalog, interactions, {"interactions": reasons})


def _catalog(folder: Path, known: dict[str, str]) -> Catalog:
    """Items with their facts; the facts are numbered otherwise and found by name."""
    info = _parse(folder / "id2info.json", json.loads)
    facts = {fact["name"]: fact for fact in info.values()}
    rows = []
    for name, item in known.items():
        fact = facts.get(name, {})
        year = fact.get("year")
        columns = {field: list(dict.fromkeys(fact.get(field, []))) for field in _FIELDS}
        title = f"{name} ({year})" if year else name
        rows.append({"item": item, "title": title, "year": year, **columns})
    lists = dict.fromkeys(_FIELDS, pl.List(pl.String))
    return Catalog(pl.DataFrame(rows, schema_overrides={"year": pl.String, **lists}))


def _json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def _parse(path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); restore the file") from error

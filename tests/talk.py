"""A small OpenDialKG in the files of the real one: who asks for an actor gets a film."""

import json
from pathlib import Path
from typing import Any

import pytest

from rec_gen.data.config import DataConfig
from rec_gen.data.dataset import Dataset
from rec_gen.data.prepare import prepare
from tests.toy import toy_recipe
from training.recipe import Recipe

ACTORS = ("Ada Amber", "Bea Birch", "Cid Cedar", "Dot Dawn")
FILMS = {
    actor: [f"{actor.split()[1]} {part}" for part in ("One", "Two", "Three")] for actor in ACTORS
}
RESPONSE = "What the turn itself says"


def turn(dialog: int, number: int, said: list[str], named: list[str], films: list[str]) -> str:
    """One line of a split's file."""
    row: dict[str, Any] = {
        "dialog_id": dialog,
        "turn_id": number,
        "context": said,
        "entity": named,
        "rec": films,
        "resp": f"{RESPONSE}: {', '.join(films)}",
    }
    return json.dumps(row)


def write_opendialkg(folder: Path) -> Path:
    """Write the files; dialog 0 goes on from a test turn to a training turn."""
    folder.mkdir(parents=True)
    films = [film for titles in FILMS.values() for film in titles]
    names = [*films, *ACTORS, "Drama"]
    info = {
        str(900 + place): {
            "name": film,
            "year": "1999",
            "actor": [actor, actor],
            "genre": ["Drama"],
        }
        for place, (actor, film) in enumerate((a, f) for a in ACTORS for f in FILMS[a])
    }
    (folder / "entity2id.json").write_text(json.dumps({name: n for n, name in enumerate(names)}))
    (folder / "item_ids.json").write_text(json.dumps(list(range(len(films)))))
    (folder / "id2info.json").write_text(json.dumps(info))
    splits: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for dialog in range(1, 33):
        actor = ACTORS[dialog % 4]
        said, first = [f"Film {dialog}, with {actor}?"], FILMS[actor][dialog % 3]
        split = "valid" if dialog % 8 == 1 else "test" if dialog % 8 == 2 else "train"
        splits[split].append(turn(dialog, 1, said, [actor], [first]))
        asked = [*said, f"{first} is one.", "Who is in it?"]
        splits[split].append(turn(dialog, 3, asked, [actor, first], [first]))
    actor = ACTORS[0]
    begun = [f"Something with {actor}?"]
    splits["test"].append(turn(0, 1, begun, [actor], FILMS[actor][:2]))
    more = [*begun, f"{FILMS[actor][0]}.", "Another one?"]
    splits["train"].append(turn(0, 3, more, [actor, FILMS[actor][0]], [FILMS[actor][2]]))
    for name, lines in splits.items():
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def talk_dataset(folder: Path) -> Dataset:
    """The same, prepared."""
    write_opendialkg(folder / "opendialkg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECGEN_DATA", str(folder))
        return prepare(DataConfig(source="opendialkg"), folder / "prepared")


def talk_recipe(**changes: Any) -> Recipe:
    """A recipe for it."""
    table: dict[str, Any] = {
        "data": {"source": "opendialkg"},
        "prompt": {"template": "conversation", "max_tokens": 160},
        "train": {"loss": "last-item", "score": "catalog"},
        "validation": {"exclude_seen": False},
    }
    for key, value in changes.items():
        table[key] = {**table.get(key, {}), **value} if isinstance(value, dict) else value
    return toy_recipe(**table)

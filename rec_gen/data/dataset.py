"""A prepared data set: a catalog and split interactions, as they lie on disk and in memory."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.errors import DataError

INTERACTIONS, ITEMS, MANIFEST = "interactions.parquet", "items.parquet", "dataset.json"
USERS = "users.parquet"
FINDINGS = "screening.json"
"""What a screening found, beside the data that it left."""


def write_findings(folder: Path, found: dict[str, Any]) -> None:
    """Write what a screening found into the folder of its data."""
    text = json.dumps(found, indent=2, ensure_ascii=False)
    (folder / FINDINGS).write_text(text + "\n", encoding="utf-8")


def refuse_other_folder(folder: Path) -> None:
    """Refuse to write a prepared data set where something else lies.

    Raises:
        DataError: Something that is no prepared data set is at the folder.
    """
    taken = folder.exists() and (folder.is_file() or any(folder.iterdir()))
    if taken and not (folder / MANIFEST).is_file():
        raise DataError(f"{folder}: is not a prepared data set; choose another folder to write")


class Split(StrEnum):
    """What an interaction is for; `context` may be read but is never a target."""

    CONTEXT = "context"
    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


SPLITS = tuple(Split)


def split_sizes(frame: pl.DataFrame) -> dict[str, int]:
    """How many interactions each split has, without those that have none."""
    sizes = dict(frame["split"].value_counts().iter_rows())
    return {str(name): sizes[name] for name in SPLITS if name in sizes}


UTTERANCES, ENTITIES = "utterances", "entities"
"""Columns of lists of text that make a conversation of each user of whom they are known."""
REPLY = "reply"
"""A column of text: what was then said, with the items that were recommended in it."""

Numbers = TypeVar("Numbers", bound=np.generic)


@dataclass(frozen=True)
class Dialogue:
    """What was said before a recommendation.

    Attributes:
        utterances: Oldest first.
        entities: What they named, oldest first; a name stands as often as it was named.
    """

    utterances: tuple[str, ...]
    entities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sequence:
    """One user's training interactions, oldest first.

    Attributes:
        user: The user's id.
        items: int32 [n], catalog positions.
        targets: bool [n], the interactions that may be learnt; the others are context.
        ages: float32 [n], the share of all training interactions that came later.
        ratings: float32 [n], where the data has ratings.
        times: int64 [n], seconds, where the data has times.
        dialogue: What was said before any of its targets, where the data tells.
        reply: What was then said, where the data tells and none of the user's interactions is held
            out, so that it names no held-out item.
    """

    user: str
    items: npt.NDArray[np.int32]
    targets: npt.NDArray[np.bool_]
    ages: npt.NDArray[np.float32]
    ratings: npt.NDArray[np.float32] | None = None
    times: npt.NDArray[np.int64] | None = None
    dialogue: Dialogue | None = None
    reply: str | None = None

    def first(self, count: int) -> "Sequence":
        """The sequence of the first so many interactions, without what was then said."""
        part = slice(count)
        return Sequence(
            self.user,
            self.items[part],
            self.targets[part],
            self.ages[part],
            _part(self.ratings, part),
            _part(self.times, part),
            self.dialogue,
        )

    def examples(self) -> Iterator["Example"]:
        """Each interaction that may be learnt, and all that came before it.

        What is recommended at one point of a dialogue is recommended at once.
        """
        for place in np.flatnonzero(self.targets):
            before = place if self.dialogue is None else int(np.argmax(self.targets))
            target = int(self.items[place])
            yield Example(self.user, self.items[:before], target, dialogue=self.dialogue)


@dataclass(frozen=True)
class Example:
    """One held-out interaction and all that came before it.

    Attributes:
        user: The user's id.
        history: int32 [n], catalog positions, oldest first.
        target: The catalog position of the held-out item.
        rating: Its rating, where the data has ratings.
        times: int64 [n], the seconds of the history's interactions, where the data has times.
        ratings: float32 [n], their ratings, where the data has ratings.
        dialogue: What was said before, where the data tells.
    """

    user: str
    history: npt.NDArray[np.int32]
    target: int
    rating: float | None = None
    times: npt.NDArray[np.int64] | None = None
    ratings: npt.NDArray[np.float32] | None = None
    dialogue: Dialogue | None = None


class Dataset:
    """A catalog and its interactions, grouped by user and oldest first.

    Attributes:
        catalog: The items.
        frame: One row an interaction: `user` (string), `item` (UInt32 catalog position), `time`
            (Int64 seconds, or null where the source gives only an order), `split` (Enum), and
            `rating` or `weight` (Float32) where the source has them, and `place` (UInt32) where it
            orders the interactions of all users without telling their times.
        ratings: float32 [rows], where the source has them.
        times: int64 [rows], seconds, where the source has them.
        manifest: Name, split, counts and what was left out, as JSON-ready values.
        user_frame: One row a user in the order of `users`, where anything is known of them: `user`
            (string) and further columns, null where one user is not known.
    """

    def __init__(
        self,
        catalog: Catalog,
        frame: pl.DataFrame,
        manifest: dict[str, Any],
        user_frame: pl.DataFrame | None = None,
    ) -> None:
        self.catalog = catalog
        self.frame = frame
        self.manifest = manifest
        self.user_frame = user_frame
        self._items = frame["item"].to_numpy().astype(np.int32)
        self._splits = frame["split"].to_physical().to_numpy()
        self.ratings = frame["rating"].to_numpy() if "rating" in frame.columns else None
        self.times = None if frame["time"].has_nulls() else frame["time"].to_numpy()
        changes = frame.select(pl.col("user").rle_id().alias("run"))["run"].to_numpy()
        starts = np.flatnonzero(np.r_[True, changes[1:] != changes[:-1]])
        self._offsets = np.r_[starts, len(frame)].astype(np.int64)

    @property
    def name(self) -> str:
        """The data set's name."""
        return str(self.manifest["name"])

    @cached_property
    def users(self) -> list[str]:
        """User ids, in the order of the frame."""
        return self.frame["user"].gather(self._offsets[:-1]).to_list()

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {user: row for row, user in enumerate(self.users)}

    @cached_property
    def _dialogues(self) -> list[Dialogue] | None:
        """What was said to each user, where the data tells."""
        if self.user_frame is None:
            return None
        kinds = [self.user_frame.schema.get(name) for name in (UTTERANCES, ENTITIES)]
        if kinds != [pl.List(pl.String)] * 2:
            return None
        said = self.user_frame.select(pl.col(UTTERANCES, ENTITIES).fill_null([])).iter_rows()
        return [Dialogue(tuple(utterances), tuple(entities)) for utterances, entities in said]

    @cached_property
    def _replies(self) -> list[str | None] | None:
        """What was then said to each user, where the data tells."""
        if self.user_frame is None or self.user_frame.schema.get(REPLY) != pl.String:
            return None
        return self.user_frame[REPLY].to_list()

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the catalog, the users, and every interaction with its split.

        What is known of the users counts too, but for a named source without dialogues. Its file is
        checked by hash already, and so data sets, models and results keep the fingerprint that they
        had before anything was read of its users.
        """
        digest = blake2b(self.catalog.fingerprint.encode(), digest_size=16)
        for part in ("\0".join(self.users).encode(), self._offsets, self._items, self._splits):
            digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
        if "source" not in self.manifest or self._dialogues is not None:
            digest.update((self._users_digest or "").encode())
        return digest.hexdigest()

    @cached_property
    def _users_digest(self) -> str | None:
        """A digest of what is known of the users."""
        if self.user_frame is None:
            return None
        frame = self.user_frame.select(sorted(self.user_frame.columns))
        digest = blake2b(repr(frame.columns).encode(), digest_size=16)
        for row in frame.iter_rows():
            digest.update(repr(row).encode())
        return digest.hexdigest()

    @cached_property
    def _ages(self) -> npt.NDArray[np.float32]:
        """The share of training interactions that came after each; 0 where nothing orders them."""
        column = "place" if "place" in self.frame.columns else "time"
        if self.frame[column].has_nulls():
            return np.zeros(len(self.frame), np.float32)
        moments = self.frame[column].to_numpy()
        trained = np.sort(moments[self._splits == SPLITS.index(Split.TRAIN)])
        earlier = np.searchsorted(trained, moments, side="right")
        return (1 - earlier / max(len(trained), 1)).astype(np.float32)

    def sequences(self) -> Iterator[Sequence]:
        """Each user's training interactions, for users that have any."""
        last_trained = SPLITS.index(Split.TRAIN)
        for row, (user, start, stop) in enumerate(self._ranges()):
            trained = np.flatnonzero(self._splits[start:stop] == last_trained)
            if trained.size:
                end = start + int(trained[-1]) + 1
                reply = self._replies[row] if self._replies and end == stop else None
                yield replace(self._sequence(user, slice(start, end)), reply=reply)

    def examples(self, split: Split) -> Iterator[Example]:
        """Each interaction of a held-out split, with all that came before it.

        What is recommended at one point of a dialogue is recommended at once.
        """
        wanted = SPLITS.index(split)
        for user, start, stop in self._ranges():
            for at in np.flatnonzero(self._splits[start:stop] == wanted):
                yield self._example(user, start, start + int(at))

    def history(self, user: str) -> npt.NDArray[np.int32]:
        """All interactions of one user, oldest first.

        Raises:
            DataError: The user is not in the data set.
        """
        return self._items[self._slice(user)]

    def dialogue(self, user: str) -> Dialogue | None:
        """What was said to a user before any of their targets, where the data tells."""
        return None if self._dialogues is None else self._dialogues[self._rows[user]]

    def past(self, user: str) -> Sequence:
        """All interactions of one user, held-out ones too, oldest first.

        Raises:
            DataError: The user is not in the data set.
        """
        return self._sequence(user, self._slice(user))

    def _slice(self, user: str) -> slice:
        try:
            row = self._rows[user]
        except KeyError:
            raise DataError(f"{self.name}: user '{user}' is not in the data set") from None
        return slice(int(self._offsets[row]), int(self._offsets[row + 1]))

    def _sequence(self, user: str, rows: slice) -> Sequence:
        return Sequence(
            user,
            self._items[rows],
            self._splits[rows] == SPLITS.index(Split.TRAIN),
            self._ages[rows],
            _part(self.ratings, rows),
            _part(self.times, rows),
            self.dialogue(user),
        )

    def _example(self, user: str, start: int, place: int) -> Example:
        dialogue, before = self.dialogue(user), place
        if dialogue is not None:
            told = self._splits[start:place] == SPLITS.index(Split.CONTEXT)
            before = start + int(np.argmin(np.append(told, False)))
        past = slice(start, before)
        return Example(
            user,
            self._items[past],
            int(self._items[place]),
            None if self.ratings is None else float(self.ratings[place]),
            _part(self.times, past),
            _part(self.ratings, past),
            dialogue,
        )

    def _ranges(self) -> Iterator[tuple[str, int, int]]:
        bounds = self._offsets.tolist()
        yield from zip(self.users, bounds[:-1], bounds[1:], strict=True)

    def save(self, folder: Path) -> None:
        """Write the data set into an existing folder."""
        self.catalog.save(folder / ITEMS)
        self.frame.write_parquet(folder / INTERACTIONS)
        if self.user_frame is not None:
            self.user_frame.write_parquet(folder / USERS)
        digests = {"users": self._users_digest, "fingerprint": self.fingerprint}
        text = json.dumps({**self.manifest, **digests}, indent=2)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Dataset":
        """Read a prepared data set.

        Raises:
            DataError: A file is missing, cannot be read, or is not what was saved.
        """
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            frame = pl.read_parquet(folder / INTERACTIONS, glob=False)
            there = (folder / USERS).is_file()
            users = pl.read_parquet(folder / USERS, glob=False) if there else None
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{folder}: is not a prepared data set: {error}") from error
        recorded = manifest.pop("users", None), manifest.pop("fingerprint", None)
        dataset = cls(Catalog.load(folder / ITEMS), frame, manifest, users)
        if recorded != (dataset._users_digest, dataset.fingerprint):
            raise DataError(f"{folder}: was changed since it was prepared; prepare it again")
        return dataset


def _part(column: npt.NDArray[Numbers] | None, rows: slice) -> npt.NDArray[Numbers] | None:
    return None if column is None else column[rows]

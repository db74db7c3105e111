"""What a data set is made of: a named source or own tables, and how they are split."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from rec_gen.config import Config
from rec_gen.masking import Masking

WholePath = Annotated[Path, AfterValidator(Path.absolute)]
"""A path that is found from any working directory once it was read."""

BadRows = Literal["error", "skip"]
SplitKind = Literal["leave-one-out", "global-time", "given"]
SourceName = Literal[
    "movielens-100k",
    "movielens-1m",
    "ml-latest-small",
    "amazon2014-beauty",
    "minionerec-industrial",
    "opendialkg",
]

_SPLIT_KEYS: dict[SplitKind, set[str]] = {
    "leave-one-out": set(),
    "global-time": {"valid", "test", "valid_from", "test_from"},
    "given": {"column", "valid_path", "test_path"},
}
_GIVEN_SOURCES = {"minionerec-industrial", "opendialkg"}


class SplitConfig(Config):
    """How interactions are split.

    Attributes:
        kind: `leave-one-out` tests each user's last interaction and validates on the one before;
            `global-time` cuts all users at the same two times; `given` takes what the input says.
        valid: For `global-time`, the share of interactions between the two cuts.
        test: For `global-time`, the share of interactions from the second cut on.
        valid_from: For `global-time`, the first cut as a date, instead of shares; UTC by default.
        test_from: For `global-time`, the second cut as a date.
        column: For `given`, the column of the interactions that holds train, valid or test.
        valid_path: For `given`, a table of validation interactions, instead of a column.
        test_path: For `given`, a table of test interactions.
    """

    kind: SplitKind = "leave-one-out"
    valid: float = Field(default=0.1, gt=0, lt=1)
    test: float = Field(default=0.1, gt=0, lt=1)
    valid_from: datetime | None = None
    test_from: datetime | None = None
    column: str | None = None
    valid_path: WholePath | None = None
    test_path: WholePath | None = None

    @field_validator("valid_from", "test_from")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        if unused := self.changed() - {"kind"} - _SPLIT_KEYS[self.kind]:
            raise ValueError(f"the split '{self.kind}' has no key '{min(unused)}'; remove it")
        if (self.valid_from is None) != (self.test_from is None):
            raise ValueError("give both valid_from and test_from, or neither")
        if self.valid_from and self.test_from:
            if self.changed() & {"valid", "test"}:
                raise ValueError("give shares (valid, test) or dates (valid_from, test_from)")
            if self.valid_from >= self.test_from:
                raise ValueError("valid_from must be earlier than test_from")
        if self.valid + self.test >= 1:
            raise ValueError("valid and test together must be less than 1")
        return self

    def changed(self) -> set[str]:
        """The keys whose values are not the default."""
        fields = type(self).model_fields.items()
        return {name for name, field in fields if getattr(self, name) != field.default}


class InteractionTable(Config):
    """A CSV, TSV or Parquet file of interactions, and which column is what.

    Attributes:
        path: The file.
        user: The column of user ids.
        item: The column of item ids.
        time: The column of times: Unix time or ISO 8601.
        rating: The column of ratings, if any.
        weight: The column of weights, if any.
    """

    path: WholePath
    user: str = "user"
    item: str = "item"
    time: str = "time"
    rating: str | None = None
    weight: str | None = None


class ItemTable(Config):
    """A CSV, TSV or Parquet file of items, and which column is what.

    Attributes:
        path: The file.
        id: The column of item ids.
        title: The column of titles.
        columns: The metadata columns to keep; None keeps all.
    """

    path: WholePath
    id: str = "item"
    title: str = "title"
    columns: tuple[str, ...] | None = None


class UserTable(Config):
    """A CSV, TSV or Parquet file of users, and which column is what.

    Attributes:
        path: The file.
        id: The column of user ids.
        columns: The columns to keep; None keeps all.
    """

    path: WholePath
    id: str = "user"
    columns: tuple[str, ...] | None = None


class DataMasking(Masking):
    """What is masked in tables before they are split and stored.

    Attributes:
        users: Columns of the users; None takes all that hold text, such as `utterances`, `entities`
            and `reply`.
        items: Columns of the items, such as `title`.
        user_key: A file with a secret of 32 bytes or more; under it users get pseudonyms.
    """

    users: tuple[str, ...] | None = None
    items: tuple[str, ...] = ()
    user_key: WholePath | None = None


def _default_name(values: dict[str, Any]) -> str:
    table, folder = values.get("interactions"), values.get("prepared")
    if folder:
        return re.sub(r"[^\w.-]+", "-", folder.name) or "prepared"
    return values.get("source") or (re.sub(r"[^\w.-]+", "-", table.path.stem) if table else "")


def _default_split(values: dict[str, Any]) -> SplitConfig:
    given = values.get("source") in _GIVEN_SOURCES
    return SplitConfig(kind="given" if given else "leave-one-out")


def _default_min_interactions(values: dict[str, Any]) -> int:
    split = values.get("split")
    return 1 if split and split.kind == "given" else 3


class DataConfig(Config):
    """A data set: a named source, or own tables.

    Attributes:
        source: A named source.
        prepared: A folder that `recgen prepare --out` wrote, instead of a source.
        interactions: The table of interactions, instead of a source.
        items: The table of items, instead of a source.
        users: What is known of users, beside the other two tables.
        name: The data set's name; default: the source's, or that of the interactions' file.
        split: How interactions are split; default: the source's own split, or leave-one-out.
        seed: Breaks ties in time.
        min_interactions: Users with fewer are left out; default: 1 for a given split, else 3.
        share: The share of users whose interactions are learnt, drawn by the seed; those of the
            others are context, which is read as history and held out as ever. 0 learns nothing.
        bad_rows: `error` stops at the first bad row; `skip` leaves bad rows out and counts them.
        mask: Where personal data is masked; nowhere unless it is given.
    """

    source: SourceName | None = None
    prepared: WholePath | None = None
    interactions: InteractionTable | None = None
    items: ItemTable | None = None
    users: UserTable | None = None
    name: str = Field(default_factory=_default_name, pattern=r"^[\w.-]+$")
    split: SplitConfig = Field(default_factory=_default_split)
    seed: int = Field(default=0, ge=0)
    min_interactions: int = Field(default_factory=_default_min_interactions, ge=1)
    share: float = Field(default=1.0, ge=0, le=1)
    bad_rows: BadRows = "error"
    mask: DataMasking | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        tables = [self.interactions is not None, self.items is not None]
        origins = [self.source is not None, self.prepared is not None, any(tables)]
        if sum(origins) > 1:
            raise ValueError("give source, prepared or the tables, not both")
        if not any(origins) or (any(tables) and not all(tables)):
            raise ValueError("give a source, or both tables interactions and items")
        if self.users and not any(tables):
            raise ValueError("users stands beside the tables interactions and items; remove it")
        if self.prepared:
            self._refuse_what_was_decided()
        if self.source and self.bad_rows == "skip":
            raise ValueError("bad_rows is for your own tables; a named source is read as it is")
        return self

    def _refuse_what_was_decided(self) -> None:
        """Refuse what would have to be known when the folder was prepared."""
        plain = DataConfig.model_construct(prepared=self.prepared)
        for key in ("split", "min_interactions", "bad_rows", "mask"):
            if getattr(self, key) != getattr(plain, key):
                raise ValueError(f"{key} is for tables; a prepared folder is read as it is")

    @model_validator(mode="after")
    def _split_fits(self) -> Self:
        kind, split = self.split.kind, self.split
        if kind == "leave-one-out" and self.min_interactions < 3:
            raise ValueError("min_interactions must be at least 3 for the split leave-one-out")
        if kind != "given":
            return self
        files = split.valid_path is not None and split.test_path is not None
        if self.source:
            if self.source not in _GIVEN_SOURCES:
                raise ValueError(f"{self.source} has no given split; choose another split.kind")
            if split.changed() - {"kind"}:
                raise ValueError(f"{self.source} brings its split; give split.kind alone")
        elif (split.column is not None) == files or (
            (split.valid_path is None) != (split.test_path is None)
        ):
            raise ValueError("a given split needs split.column, or valid_path and test_path")
        return self

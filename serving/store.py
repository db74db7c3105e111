"""What the server remembers: the protocol of a store, and what is kept in it."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from rec_gen.errors import MissingPackageError
from serving.errors import StoreError

STORE_URL = re.compile(r"^(sqlite:///.|postgresql://.|rediss?://.)")


@dataclass(frozen=True)
class Event:
    """Something that a user did with an item.

    Attributes:
        tenant: Whose user it is.
        user: The user's id.
        item: The item's id.
        kind: What was done, such as `click`.
        time: When, in seconds since 1970.
        session: The session in which it was done; empty for none.
        key: Names the event, so that a retry is not counted twice; empty for none.
        domain: The catalog that has the item, where the bundle has several; empty where it has one.
    """

    tenant: str
    user: str
    item: str
    kind: str
    time: float
    session: str = ""
    key: str = ""
    domain: str = ""

    def same(self, other: "Event") -> bool:
        """Whether another event with this one's key is a retry of it, whatever its time."""
        return (self.user, self.domain, self.item, self.kind, self.session) == (
            other.user, other.domain, other.item, other.kind, other.session,
        )  # fmt: skip


@dataclass(frozen=True)
class Change:
    """A change of one item of the catalog.

    Attributes:
        item: The item's id.
        row: Its title, fields and codes; None where the item is removed.
    """

    item: str
    row: dict[str, Any] | None


class Store(Protocol):
    """Keeps histories and changes of the catalog. What it has acknowledged is on disk.

    Every method raises `StoreError` where the store cannot be used.
    """

    async def add_event(self, event: Event) -> bool:
        """Keep an event; False where one with its key was kept before.

        Raises:
            ConflictError: The one with its key tells something else.
        """

    async def history(
        self,
        tenant: str,
        user: str,
        last: int,
        session: str | None = None,
        domains: Collection[str] | None = None,
    ) -> list[Event]:
        """The last events of a user, oldest first; of one session, and of domains, if given."""

    async def erase(self, tenant: str, user: str) -> int:
        """Forget a user; how many events there were."""

    async def scrub(self) -> None:
        """Leave nothing of what was erased in the store's own files."""

    async def change_catalog(self, changes: Sequence[Change]) -> int:
        """Keep changes, all or none; the number of the last one."""

    async def changes(self, after: int) -> tuple[list[Change], int]:
        """The changes after a number in order, and the number of the last one."""

    async def check(self) -> None:
        """Raise where the store cannot be used."""

    async def close(self) -> None:
        """Let go of it."""


def refuse_other_url(url: str) -> None:
    """Refuse what is no URL of a store.

    Raises:
        StoreError: It is none.
    """
    try:
        _ = urlsplit(url).port
        known = STORE_URL.match(url)
    except ValueError:
        known = None
    if known is None:
        scheme, found, _ = url.partition(":")
        raise StoreError(
            f"store '{scheme}{found and ':…'}': write sqlite:///FILE, "
            "postgresql://USER:PASSWORD@HOST:PORT/NAME or redis://HOST:PORT/NUMBER, and what of a "
            "password is no letter or digit as %40 or the like"
        )


def without_password(url: str) -> str:
    """What of a store's URL may be shown: all of a file's, else neither user nor query."""
    if url.startswith("sqlite:"):
        return url
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2] + parts.path
    return f"{parts.scheme}://" + ("…" if "@" in place else place)


async def open_store(url: str) -> Store:
    """Open the store at a URL: `sqlite:///FILE`, `postgresql://…` or `redis://…`.

    Raises:
        MissingPackageError: Its driver is not installed.
        StoreError: It cannot be opened.
    """
    refuse_other_url(url)
    try:
        if url.startswith("redis"):
            from serving.redis_store import RedisStore

            return await RedisStore.open(url)
        from serving.sql_store import SqlStore

        return await SqlStore.open(url)
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "the driver", "serve") from error

"""A user taken out of a store, and out of the files that it lies in."""

import sys
from pathlib import Path

from serving.errors import StoreError
from serving.store import open_store

SQLITE = "sqlite:///"


async def forget_user(url: str, tenant: str, user: str, *, dry_run: bool = False) -> int:
    """Erase what a store keeps of a user, as `DELETE /v1/users/{user}` does, and scrub its files.

    A server may use the store meanwhile; what it is told of the user later is kept again.

    Args:
        url: The store, which must be there.
        tenant: Whose user it is.
        user: The user's id.
        dry_run: Only count.

    Returns:
        The number of events.

    Raises:
        StoreError: The store is not there, or cannot be used.
    """
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).is_file():
        raise StoreError(f"{url}: there is no such file; name the store that the server uses")
    store = await open_store(url)
    try:
        if dry_run:
            return len(await store.history(tenant, user, sys.maxsize))
        events = await store.erase(tenant, user)
        await store.scrub()
        return events
    finally:
        await store.close()

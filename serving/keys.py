"""API keys: made once, kept as hashes, read again whenever their file changes."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock
from pydantic import Field, ValidationError

from rec_gen.config import Config
from rec_gen.errors import ConfigError
from rec_gen.files import new_file

Scope = Literal["recommend", "events", "catalog", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "rg"
NAME = r"^[A-Za-z0-9._-]{1,64}$"


class ApiKey(Config):
    """One key, without its secret.

    Attributes:
        id: What the key is called in lists and logs; the key itself begins with it.
        sha256: The hash of the whole key. Its secret is 256 random bits, so no salt is needed.
        tenant: Whose histories it reads and writes.
        scopes: What it may do.
        user: The only user that it may act for; None for all of the tenant.
        created: When it was made.
        expires: When it ends; None for never.
    """

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    tenant: str = Field(pattern=NAME)
    scopes: tuple[Scope, ...] = Field(min_length=1)
    user: str | None = None
    created: datetime
    expires: datetime | None = None


class _File(Config):
    keys: tuple[ApiKey, ...] = ()


class KeyFile:
    """The file of API keys, as it is now."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ConfigError: It cannot be read.
        """
        self._path = path
        self._started = time.time() - time.monotonic()
        self._seen: tuple[int, ...] | None = None
        self._keys: dict[str, ApiKey] = {}
        self.keys()

    def keys(self) -> dict[str, ApiKey]:
        """The keys by id; the file is read again if it changed.

        Raises:
            ConfigError: It cannot be read; then no key is known.
        """
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen != self._seen:
                self._seen, self._keys = None, {}
                self._keys = {key.id: key for key in _read(self._path)}
                self._seen = seen
        except OSError as error:
            self._seen, self._keys = None, {}
            raise ConfigError(
                f"{self._path}: cannot be read ({error.strerror}): make it with recgen keys create"
            ) from error
        return self._keys

    def find(self, given: str) -> ApiKey | None:
        """The key that a client gave, if it is one that holds now.

        Raises:
            ConfigError: The file cannot be read.
        """
        keys = self.keys()
        prefix, _, rest = given.partition("_")
        key = keys.get(rest.partition("_")[0]) if prefix == PREFIX else None
        digest = hashlib.sha256(given.encode("utf-8", "replace")).hexdigest()
        same = hmac.compare_digest(digest, key.sha256 if key else "0" * 64)
        if key is None or not same or (key.expires and key.expires <= self._now()):
            return None
        return key

    def _now(self) -> datetime:
        """What the clock says, or would if nobody had set it back: that revives no key."""
        return datetime.fromtimestamp(max(time.time(), self._started + time.monotonic()), UTC)


def create_key(
    path: Path,
    tenant: str,
    scopes: Iterable[str],
    user: str | None = None,
    expires: datetime | None = None,
) -> str:
    """Add a key to a file, which is made if there is none.

    Returns:
        The key, which is kept nowhere.

    Raises:
        ConfigError: The file cannot be read, or a value is wrong.
    """
    identity = secrets.token_hex(6)
    secret = f"{PREFIX}_{identity}_{secrets.token_hex(32)}"
    table = {
        "id": identity,
        "sha256": hashlib.sha256(secret.encode()).hexdigest(),
        "tenant": tenant,
        "scopes": tuple(scopes),
        "user": user,
        "created": datetime.now(UTC),
        "expires": expires,
    }
    try:
        key = ApiKey.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"key: '{first['loc'][0]}': {first['msg']}") from error
    with _alone(path):
        _write(path, [*(_read(path) if path.exists() else ()), key])
    return secret


def revoke_key(path: Path, identity: str) -> None:
    """Take a key out of a file.

    Raises:
        ConfigError: There is no such key.
    """
    KeyFile(path)  # says what to do where there is none
    with _alone(path):
        keys = _read(path)
        if identity not in {key.id for key in keys}:
            raise ConfigError(f"{path}: has no key '{identity}'; recgen keys list shows them")
        _write(path, [key for key in keys if key.id != identity])


def revoke_keys_of(path: Path, tenant: str, users: Collection[str], *, dry_run: bool) -> int:
    """Take all keys of some users of a tenant out of a file; how many there are.

    Raises:
        ConfigError: There is no file of keys, or it is damaged.
    """
    KeyFile(path)  # says what to do where there is none
    with _alone(path):
        keys = _read(path)
        left = [key for key in keys if key.tenant != tenant or key.user not in users]
        if len(left) < len(keys) and not dry_run:
            _write(path, left)
    return len(keys) - len(left)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from changing the file, so that no change of theirs is lost."""
    place = path.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f".{place.name}.lock")):
        yield


def _read(path: Path) -> tuple[ApiKey, ...]:
    try:
        return _File.model_validate_json(path.read_bytes()).keys
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "top level"
        raise ConfigError(f"{path}: '{place}': {first['msg']}: restore the file") from error


def _write(path: Path, keys: Iterable[ApiKey]) -> None:
    with new_file(path) as partial:
        partial.touch(mode=0o600)
        partial.write_text(_File(keys=tuple(keys)).model_dump_json(indent=2), encoding="utf-8")

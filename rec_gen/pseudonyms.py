"""Pseudonyms of users under a secret key."""

import hmac
from pathlib import Path

from rec_gen.errors import ConfigError

_KEY_BYTES = 32


def read_user_key(path: Path) -> bytes:
    """Read the key of pseudonyms.

    Raises:
        ConfigError: It cannot be read, or is too short to keep a secret.
    """
    try:
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    if len(key) < _KEY_BYTES:
        raise ConfigError(
            f"{path}: holds {len(key)} bytes: a key of pseudonyms needs {_KEY_BYTES} random ones"
        )
    return key


def pseudonym(user: str, key: bytes) -> str:
    """What stands for a user's id: HMAC-SHA256 under a key, its first 128 bits in hexadecimal.

    Who has the key can link ids and pseudonyms, and nobody else; so this is pseudonymisation and
    no anonymisation.
    """
    return hmac.digest(key, user.encode(), "sha256").hex()[:32]

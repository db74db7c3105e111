"""The lock of templates: a file beside them that holds the digest of each version of each."""

import json
from importlib import resources
from pathlib import Path

from rec_gen.errors import PromptError
from rec_gen.files import write_text
from rec_gen.templates import Template

LOCK = "versions.json"

Digests = dict[str, dict[str, str]]
"""By template and version, the SHA-256 of the file."""


def lock_path(name_or_path: str) -> Path:
    """The lock beside a template: in the package `prompts`, or in the folder of a file."""
    if name_or_path.endswith(".jinja"):
        return Path(name_or_path).with_name(LOCK)
    return Path(str(resources.files("prompts"))) / LOCK


def check_version(template: Template, lock: Path) -> bool:
    """Compare a template with its lock.

    Returns:
        Whether there is a lock; where there is none, nothing is compared.

    Raises:
        PromptError: The template was edited and kept its version, or the version is not recorded,
            or the lock cannot be read.
    """
    if not lock.exists():
        return False
    name, version = template.name, template.header["version"]
    recorded = _read(lock).get(name, {}).get(version)
    if recorded is None:
        raise PromptError(
            f"template '{name}': version {version} is not recorded in {lock}: "
            "run recgen prompts lint --record"
        )
    if recorded != template.sha256:
        raise _edited(template, lock)
    return True


def record_version(template: Template, lock: Path) -> bool:
    """Write the digest of a template's version into its lock, which is made where there is none.

    Returns:
        That it stands there; the same digest again changes nothing.

    Raises:
        PromptError: The version is recorded with another digest, or the lock cannot be read.
    """
    digests = _read(lock) if lock.exists() else {}
    versions = digests.setdefault(template.name, {})
    version = template.header["version"]
    if versions.setdefault(version, template.sha256) != template.sha256:
        raise _edited(template, lock)
    write_text(lock, json.dumps(digests, indent=2, sort_keys=True) + "\n")
    return True


def _edited(template: Template, lock: Path) -> PromptError:
    return PromptError(
        f"template '{template.name}': was edited and is still version "
        f"{template.header['version']}, which {lock} records otherwise: raise its version, or "
        "undo the edit"
    )


def _read(lock: Path) -> Digests:
    try:
        digests = json.loads(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PromptError(f"{lock}: cannot be read as a lock of templates: {error}") from error
    well_formed = isinstance(digests, dict) and all(
        isinstance(versions, dict) and all(isinstance(text, str) for text in versions.values())
        for versions in digests.values()
    )
    if not well_formed:
        raise PromptError(f"{lock}: holds no digests by template and version: restore it")
    return dict(digests)

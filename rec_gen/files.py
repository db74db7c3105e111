"""Folders that rec_gen keeps, and writing that leaves nothing half-written."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """Where downloads, prepared data and converted models are kept: `RECGEN_CACHE`, if set."""
    return Path(os.environ.get("RECGEN_CACHE") or user_cache_path("rec_gen"))


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder beside its final place and move it there once it is complete.

    A folder that is already at `path` is replaced; after an error it stays as it was.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        _swap(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _swap(partial: Path, path: Path) -> None:
    replaced = path.with_name(f".{path.name}.{os.getpid()}.replaced")
    while partial.exists():
        with suppress(FileNotFoundError):
            path.rename(replaced)
        try:
            partial.rename(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        finally:  # another process may have put its own there in between: try again
            shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Write a file beside its final place and move it there once it is complete."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file beside its final place and move it there once it is complete."""
    with new_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_names(folder: Path) -> list[str]:
    """The names of all files below a folder, links included, in order."""
    files = (file for file in folder.rglob("*") if file.is_file() or file.is_symlink())
    return sorted(file.relative_to(folder).as_posix() for file in files)

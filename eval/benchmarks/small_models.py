"""Small models of semantic IDs, trained in processes of their own as the recipe `industrial` is."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rec_gen.data.dataset import Dataset
from rec_gen.errors import ConfigError, RecGenError
from rec_gen.files import new_folder

SETTINGS = (
    "spelling.scheme=semantic", "model.embed=[]", "prompt.max_tokens=64", "validation.users=1000",
)  # fmt: skip
SHORT = ("train.max_steps=450", "validation.every_steps=150")
"""Steps for comparing models, in minutes."""
DATA = "data"


def kept(dataset: Dataset, folder: Path) -> Path:
    """Keep what runs learn from beside them, once; its folder.

    Raises:
        ConfigError: The folder has runs of other data.
    """
    place = folder / DATA
    if place.is_dir():
        if Dataset.load(place).fingerprint != dataset.fingerprint:
            raise ConfigError(f"{folder}: has runs of other data: name another folder")
    else:
        with new_folder(place) as partial:
            dataset.save(partial)
    return place


def train_semantic(folder: Path, data: Path, settings: Sequence[str]) -> Path:
    """Train a model, going on where an earlier one stopped.

    Args:
        folder: The run's folder.
        data: A prepared data set.
        settings: Further keys of the recipe, `key=value` each.

    Returns:
        The bundle's folder.

    Raises:
        RecGenError: The training failed.
    """
    command = [sys.executable, "-m", "rec_gen", "train", "industrial", "--data", str(data)]
    command += ["--out", str(folder), "--max-minutes", "60"]
    for setting in (*SETTINGS, *settings):
        command += ["--set", setting]
    if subprocess.run(command, check=False).returncode:
        raise RecGenError(f"{folder.name}: the training failed; its message stands above")
    return folder / "bundle"

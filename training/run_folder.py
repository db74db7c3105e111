"""The folder of a run: what lies in it, which run it belongs to, and where that one goes on."""

import json
import shutil
from pathlib import Path
from typing import Any

from rec_gen.config import flat
from rec_gen.errors import ConfigError
from rec_gen.files import write_text
from rec_gen.manifest import MANIFEST, Manifest
from training.processes import count

BUNDLE, CHECKPOINTS, LOGS, RUN = "bundle", "checkpoints", "logs", "run.json"
REPORT = "report.json"
"""What a stage after training found; the last that it writes."""


def begin_run(identity: dict[str, Any], folder: Path, *, restart: bool) -> None:
    """Make a folder that of a run; with `restart`, what it held before is removed."""
    if restart:
        (folder / REPORT).unlink(missing_ok=True)
        for part in (BUNDLE, CHECKPOINTS, LOGS):
            shutil.rmtree(folder / part, ignore_errors=True)
    write_text(folder / RUN, json.dumps(identity, indent=2))


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end.

    The main process writes its trainer's state last; others leave the state of their generators.
    """
    files = (folder / CHECKPOINTS).glob("checkpoint-*/trainer_state.json")
    for file in sorted(files, key=lambda file: -int(file.parent.name.rpartition("-")[2])):
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            continue  # killed while it was written
        if len(list(file.parent.glob("rng_state*.pth"))) >= count():
            return str(file.parent)
    return None


def resumable_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint, naming the best one where it lies now; the run may have been moved."""
    checkpoint = last_checkpoint(folder)
    if checkpoint:
        file = Path(checkpoint) / "trainer_state.json"
        state = json.loads(file.read_text(encoding="utf-8"))
        if state["best_global_step"] is not None:
            best = Path(checkpoint).with_name(f"checkpoint-{state['best_global_step']}")
            write_text(file, json.dumps({**state, "best_model_checkpoint": str(best)}, indent=2))
    return checkpoint


def refuse_other_files(folder: Path) -> None:
    """Refuse a bundle, and a folder that holds parts of a run but does not say of which.

    Raises:
        ConfigError: It does.
    """
    if not (folder / RUN).exists() and any(
        (folder / part).exists() for part in (BUNDLE, CHECKPOINTS, MANIFEST)
    ):
        raise ConfigError(f"{folder}: holds files of something else; choose another --out")


def refuse_parent_folder(parent: Manifest, folder: Path) -> None:
    """Refuse the folder of the very bundle that a stage begins with, which it would replace.

    Raises:
        ConfigError: It is.
    """
    try:
        there = Manifest.model_validate_json((folder / BUNDLE / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return  # what cannot be read is not what was loaded
    if there.digest == parent.digest:
        raise ConfigError(f"{folder}: holds the bundle to begin with; choose another --out")


def refuse_other_run(identity: dict[str, Any], folder: Path) -> None:
    """Refuse the folder of a run with another identity, a JSON-ready table.

    Raises:
        ConfigError: It is; the message names the keys that differ.
    """
    if (folder / RUN).exists():
        earlier = flat(json.loads((folder / RUN).read_text(encoding="utf-8")))
        mine = flat(identity)
        differing = sorted(k for k in {*mine, *earlier} if mine.get(k) != earlier.get(k))
        if differing:
            raise ConfigError(
                f"{folder}: holds another run (it differs in {', '.join(differing)}): "
                "choose another --out, or add --restart to replace it"
            )

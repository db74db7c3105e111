"""Which bundles still carry the trace of a user who was taken out of the data."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rec_gen.config import flat
from rec_gen.errors import BundleError
from rec_gen.manifest import MANIFEST, Manifest, read_manifest

RUN, CHECKPOINTS = "run.json", "checkpoints"
"""What training leaves beside a bundle."""


@dataclass(frozen=True)
class Trace:
    """A folder whose weights may tell of a user.

    Attributes:
        folder: The bundle, or the run with its checkpoints.
        reason: Why it may.
        mend: What to do.
    """

    folder: Path
    reason: str
    mend: str


def find_traces(
    folders: Collection[Path], held: Collection[str], without: Mapping[str, Collection[str]]
) -> list[Trace]:
    """Look for bundles and runs that were made of data which held a user, or of such bundles.

    A bundle is known by the fingerprint of its data, not by its weights: one that learnt little of
    the user is told all the same.

    Args:
        folders: Where to look, in all folders below too.
        held: The fingerprints of data that held the user.
        without: The fingerprints of data without the user, by its name.

    Raises:
        BundleError: A folder is not there.
    """
    refuse_absent(folders)
    files = sorted({file for folder in folders for file in folder.rglob(MANIFEST)})
    bundles, traces = dict[Path, Manifest](), dict[Path, Trace]()
    for file in filter(_is_ours, files):
        try:
            bundles[file.parent] = read_manifest(file.parent)
        except BundleError:
            traces[file.parent] = Trace(file.parent, "its manifest is damaged", "delete it")
    while found := dict(_traced(bundles, traces, held)):
        traces |= found
    digests = {bundles[folder].digest for folder in traces if folder in bundles}
    for folder, manifest in bundles.items():
        others = [
            name for name, seen in _read_by(manifest) if seen not in without.get(name, [seen])
        ]
        if folder not in traces and others:
            reason = f"it was trained on '{others[0]}' in another state, which may have held"
            traces[folder] = Trace(
                folder, f"{reason} the user", "train it again on the data of now"
            )
    runs = sorted({file for folder in folders for file in folder.rglob(RUN)})
    for file in runs:
        values = flat(_read(file)).values()
        identity = {str(v) for each in values for v in (each if isinstance(each, list) else [each])}
        if (file.parent / CHECKPOINTS).is_dir() and identity & {*held, *digests}:
            reason = "its checkpoints were trained on data that held the user"
            traces[file.parent] = Trace(file.parent, reason, "delete them, or train with --restart")
    return sorted(traces.values(), key=lambda trace: trace.folder)


def refuse_absent(folders: Collection[Path]) -> None:
    """Refuse to look for bundles where there is no folder.

    Raises:
        BundleError: One is not there.
    """
    for folder in folders:
        if not folder.is_dir():
            raise BundleError(f"{folder}: there is no such folder to look for bundles in")


def _traced(
    bundles: Mapping[Path, Manifest], traces: Mapping[Path, Trace], held: Collection[str]
) -> Iterator[tuple[Path, Trace]]:
    """Bundles that are traced by what is known so far."""
    digests = {bundles[folder].digest: folder for folder in traces if folder in bundles}
    for folder, manifest in bundles.items():
        if folder in traces:
            continue
        begun = [stage.parent for stage in manifest.refinements]
        begun += [stage.parent for stage in manifest.compressions]
        parents = [digests[parent] for parent in begun if parent in digests]
        base = Path(manifest.base).resolve() if manifest.base else None
        if base is not None:
            parents += [each for each in digests.values() if base.is_relative_to(each.resolve())]
        if any(fingerprint in held for _, fingerprint in _read_by(manifest)):
            reason = "it was trained on data that held the user"
            yield folder, Trace(folder, reason, "train it again on the data of now")
        elif parents:
            reason = f"it goes back to {parents[0]}"
            yield folder, Trace(folder, reason, "make it again of a bundle without the user")


def _read_by(manifest: Manifest) -> list[tuple[str, str]]:
    """Name and fingerprint of all data that a bundle was trained on."""
    further = [(each.dataset, each.fingerprint) for each in manifest.domains.values()]
    return [(manifest.dataset, manifest.fingerprint), *further]


def _is_ours(file: Path) -> bool:
    """Whether a manifest is one of a bundle, damaged or not, and none of another program."""
    table = _read(file)
    return not table or "fingerprint" in table


def _read(file: Path) -> dict[str, Any]:
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}

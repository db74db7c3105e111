"""Screening a data set for attacks: its users and its titles, and what is left without them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rec_gen.data.dataset import SPLITS, Dataset, refuse_other_folder, split_sizes, write_findings
from rec_gen.files import new_folder
from rec_gen.profile_screening import SHARE, Suspects, find_suspects, unlearn
from rec_gen.title_screening import TitleFinding, mend_titles, screen_titles


@dataclass(frozen=True)
class Screening:
    """What was found in a data set.

    Attributes:
        dataset: The data set without it: nothing is learnt from suspects, titles are mended.
        suspects: The items that each suspect seems to push.
        titles: The titles that were mended.
    """

    dataset: Dataset
    suspects: Suspects
    titles: Sequence[TitleFinding]

    def save(self, folder: Path) -> None:
        """Write the data set, and beside it `screening.json`, which names every finding.

        Raises:
            DataError: Something that is no prepared data set is at the folder.
        """
        refuse_other_folder(folder)
        found = {"suspects": dict(self.suspects), "titles": [asdict(each) for each in self.titles]}
        with new_folder(folder) as partial:
            self.dataset.save(partial)
            write_findings(partial, found)


def screen(
    dataset: Dataset, share: float = SHARE, *, profiles: bool = True, titles: bool = True
) -> Screening:
    """Screen a data set.

    Args:
        dataset: The data.
        share: See `find_suspects`.
        profiles: Whether users are screened.
        titles: Whether titles are.

    Raises:
        ConfigError: The share is out of range.
        MissingPackageError: A package of the extra `screen` is not installed.
    """
    suspects = find_suspects(dataset, share) if profiles else {}
    findings = screen_titles(dataset.catalog) if titles else []
    kept = unlearn(dataset, suspects)
    catalog = mend_titles(dataset.catalog, findings)
    counts = {k: v for k, v in dataset.manifest.get("counts", {}).items() if k not in set(SPLITS)}
    manifest: dict[str, Any] = dict(dataset.manifest)
    manifest["counts"] = counts | split_sizes(kept.frame)
    manifest["screened"] = {"users": len(suspects), "titles": len(findings)}
    return Screening(Dataset(catalog, kept.frame, manifest, kept.user_frame), suspects, findings)

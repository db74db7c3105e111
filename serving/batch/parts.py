"""Parts of the users: ranges of rows, each of which becomes one file of answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ANSWERS, FAILED = "part-{:06}.parquet", "failed-{:06}.parquet"
ANY_ANSWERS, ANY_FAILED = "part-*.parquet", "failed-*.parquet"


@dataclass(frozen=True)
class Part:
    """The users in rows `[start, stop)`.

    Attributes:
        number: Parts are numbered from 0.
        start: The first row.
        stop: One past the last row.
    """

    number: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def answers(self, folder: Path) -> Path:
        """The file of the answers. It is written last, so the part is done once it is there."""
        return folder / ANSWERS.format(self.number)

    def failed(self, folder: Path) -> Path:
        """The file of the rows without an answer; absent where there are none."""
        return folder / FAILED.format(self.number)


def cut(rows: int, part_rows: int) -> list[Part]:
    """Cut rows into parts of one size, but for the last."""
    starts = range(0, rows, part_rows)
    return [Part(n, start, min(start + part_rows, rows)) for n, start in enumerate(starts)]


def missing(parts: Sequence[Part], folder: Path) -> list[Part]:
    """The parts that are not done."""
    there = {file.name for file in folder.glob(ANY_ANSWERS)}
    return [part for part in parts if part.answers(folder).name not in there]

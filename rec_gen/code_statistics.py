"""How well semantic IDs tell items apart, and how evenly they use their codes."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from rec_gen.config import Config


class CodeStatistics(Config):
    """What a catalog's codes are like.

    Attributes:
        levels: Codes an item.
        codes: Codes that a level has room for.
        collisions: The share of items that share all of their codes with another item.
        cold: The share of items without a training interaction.
        used: For each level, the share of codes that stand for an item.
        perplexity: For each level, the exponential of the codes' entropy over the items; as many
            codes, used evenly, would be as uncertain.
    """

    levels: int
    codes: int
    collisions: float
    cold: float
    used: tuple[float, ...]
    perplexity: tuple[float, ...]

    def __str__(self) -> str:
        used = "/".join(f"{share:.0%}"[:-1] for share in self.used)
        return (
            f"semantic IDs: {self.levels} x {self.codes}, "
            f"collisions {100 * self.collisions:.1f} % of items, "
            f"cold items {100 * self.cold:.1f} % (no training interaction), "
            f"codes in use {used} %"
        )


def code_statistics(
    codes: npt.NDArray[np.int64], size: int, histories: Iterable[npt.NDArray[np.int32]]
) -> CodeStatistics:
    """Describe the codes of a catalog.

    Args:
        codes: int64 [items, levels].
        size: Codes that a level has room for.
        histories: Catalog positions of each user's training interactions.
    """
    items, levels = codes.shape
    shared = np.unique(codes, axis=0, return_counts=True)[1]
    trained = np.zeros(items, np.bool_)
    for history in histories:
        trained[history] = True
    counts = [np.unique(column, return_counts=True)[1] for column in codes.T]
    return CodeStatistics(
        levels=levels,
        codes=size,
        collisions=float(shared[shared > 1].sum() / items),
        cold=float(1 - trained.mean()),
        used=tuple(len(count) / size for count in counts),
        perplexity=tuple(_perplexity(count / items) for count in counts),
    )


def _perplexity(shares: npt.NDArray[np.float64]) -> float:
    return float(np.exp(-(shares * np.log(shares)).sum()))

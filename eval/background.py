"""What is evaluated on: held-out examples, and what training knew of their users and items."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.categories import ItemCategories
from rec_gen.counts import training_interactions
from rec_gen.data.dataset import Dataset, Example, Split
from rec_gen.errors import DataError


@dataclass(frozen=True, eq=False)
class Background:
    """What measures and slices may read beside the lists.

    Attributes:
        dataset: The data set.
        examples: Its n held-out examples.
        popularity: int64 [items], each item's interactions in the training sequences.
        choosers: int64 [items], how many users each is a training interaction of.
        trained_users: The users with a training sequence.
        categories: Those of the items, where they were asked for.
    """

    dataset: Dataset
    examples: list[Example]
    popularity: npt.NDArray[np.int64]
    choosers: npt.NDArray[np.int64]
    trained_users: frozenset[str]
    categories: ItemCategories | None = None

    @classmethod
    def of(cls, dataset: Dataset, split: Split, categories: str | None = None) -> "Background":
        """Read the examples of a split and count the training sequences.

        Args:
            dataset: The data set.
            split: Which examples.
            categories: The catalog's column of categories, if any.

        Raises:
            ConfigError: The column cannot be read as categories.
            DataError: The split holds no interaction.
        """
        users, items = training_interactions(dataset)
        _, chosen = np.unique(np.stack([users, items]), axis=1)
        return cls(
            dataset,
            held_out(dataset, split),
            np.bincount(items, minlength=len(dataset.catalog)),
            np.bincount(chosen, minlength=len(dataset.catalog)),
            frozenset(sequence.user for sequence in dataset.sequences()),
            None if categories is None else ItemCategories.of(dataset.catalog, categories),
        )

    @property
    def users(self) -> list[str]:
        """The users of the examples."""
        return [example.user for example in self.examples]

    @property
    def histories(self) -> list[npt.NDArray[np.int32]]:
        """What came before the held-out items, int32 catalog positions, oldest first."""
        return [example.history for example in self.examples]

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """The catalog positions of the held-out items, int64 [n]."""
        return np.array([example.target for example in self.examples], np.int64)


def held_out(dataset: Dataset, split: Split) -> list[Example]:
    """The interactions of a split.

    Raises:
        DataError: It holds none.
    """
    examples = list(dataset.examples(split))
    if not examples:
        raise DataError(f"{dataset.name}: split '{split}' holds no interaction to evaluate on")
    return examples

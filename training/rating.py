"""The AUC of held-out yes and no, beside that of counting."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset, Example
from rec_gen.errors import ConfigError
from rec_gen.rating import rate_pairs
from rec_gen.rating_pairs import held_out_pairs, item_popularity, mean_ratings
from rec_gen.templates import Template
from training.processes import share
from training.recipe import Recipe

AUC, COUNTED, PAIRS = "auc", "auc_counted", "auc_pairs"


class HeldOutRatings:
    """Pairs of validation interactions, none of which was trained on.

    Nothing is chosen by their AUC.

    Attributes:
        pairs: The pairs.
        counted: The AUC of what counting says: the item's mean rating, or its popularity.
    """

    def __init__(
        self, dataset: Dataset, examples: Sequence[Example], liked_from: float | None, seed: int
    ) -> None:
        """Make the pairs.

        Args:
            dataset: What is counted, in its training interactions.
            examples: Validation examples.
            liked_from: From which rating on an item is liked.
            seed: Draws the items that were not chosen.

        Raises:
            ConfigError: The data has no ratings, or all answers are the same.
        """
        self.pairs = list(held_out_pairs(dataset, examples, liked_from, seed))
        liked = self._liked
        if liked.all() or not liked.any():
            answer = "yes" if liked.all() else "no"
            raise ConfigError(
                f"tasks.rating: all {len(liked)} validation answers are {answer}, so there is no "
                "AUC: raise validation.users, or set another liked_from"
            )
        counted = item_popularity(dataset) if liked_from is None else mean_ratings(dataset)
        self.counted = float(roc_auc_score(liked, counted[[pair.item for pair in self.pairs]]))

    def metrics(self, bundle: Bundle) -> dict[str, float]:
        """The AUC of a model, that of counting, and the number of pairs."""
        chances = share(lambda pairs: list(rate_pairs(bundle, pairs)), self.pairs)
        auc = float(roc_auc_score(self._liked, chances))
        return {AUC: auc, COUNTED: self.counted, PAIRS: float(len(self.pairs))}

    @property
    def _liked(self) -> npt.NDArray[np.bool_]:
        return np.array([pair.liked for pair in self.pairs])


def held_out_ratings(
    recipe: Recipe, dataset: Dataset, held: Sequence[Example], tasks: Sequence[Template]
) -> HeldOutRatings | None:
    """What an AUC is taken on, where a task is a rating; the first one where several are.

    Args:
        recipe: The run.
        dataset: Its data.
        held: The validation examples.
        tasks: The templates of the recipe's tasks.

    Raises:
        ConfigError: The data has no ratings, or all answers are the same.
    """
    for config, template in zip(recipe.tasks, tasks, strict=True):
        if template.header["task"] == "rating":
            return HeldOutRatings(dataset, held, config.liked_from, recipe.seed)
    return None

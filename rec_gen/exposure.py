"""Exposure control: what the search raises items by, the more the rarer they are."""

import numpy as np
import numpy.typing as npt

from rec_gen.metrics import Floats


def rarity(popularity: npt.NDArray[np.int64], items: int) -> Floats:
    """The self-information of each item's share of the training interactions.

    Added to the log-probabilities with a weight of t it is post-hoc logit adjustment; with 1, items
    come in the order of their pointwise mutual information with the history.

    Source: Menon et al., "Long-tail learning via logit adjustment", 2021. The share is smoothed by
    one interaction an item (Laplace), so that an item without any is as rare as can be.

    Args:
        popularity: int64 [counted], the interactions with each item in training, at least 0.
        items: The size of the catalog now; items that came after the count have none.

    Returns:
        float64 [items], nats, above 0.
    """
    counts = np.ones(items)
    counts[: len(popularity)] += popularity
    return np.asarray(np.log(counts.sum()) - np.log(counts))

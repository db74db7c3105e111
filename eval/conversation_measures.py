"""What is measured of conversations: recall, by what was named and by what training quotes."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.data.dataset import Dataset, Example
from rec_gen.metrics import Ranks, recall

CUTOFFS = (1, 10, 50)
"""The lengths of list that the literature on conversations reports."""
ALL = "all"


def groups(dataset: Dataset, examples: Sequence[Example]) -> dict[str, npt.NDArray[np.bool_]]:
    """The examples that are also counted apart, bool [n] each.

    Returns:
        `all`; `named`, whose item was named before, and `unnamed`; `apart`, of whose dialogue no
        earlier or later turn is in training. A later one would quote what was recommended.
    """
    trained = {each.dialogue.utterances for each in dataset.sequences() if each.dialogue}
    begun = {said[:stop] for said in trained for stop in range(1, len(said) + 1)}

    def is_apart(said: tuple[str, ...]) -> bool:
        return said not in begun and not any(said[:stop] in trained for stop in range(1, len(said)))

    named = np.array([example.target in example.history for example in examples])
    said = [example.dialogue.utterances if example.dialogue else () for example in examples]
    return {
        ALL: np.ones(len(examples), np.bool_),
        "named": named,
        "unnamed": ~named,
        "apart": np.array([is_apart(each) for each in said]),
    }


def recall_name(k: int, group: str) -> str:
    """The name of a measure, such as `recall10` of all and `recall10_unnamed`."""
    return f"recall{k}" if group == ALL else f"recall{k}_{group}"


def recalls(ranks: Ranks, masks: Mapping[str, npt.NDArray[np.bool_]]) -> pl.DataFrame:
    """The recall of each example, a column a length and group, NaN outside of the group."""
    return pl.DataFrame(
        {
            recall_name(k, group): np.where(mask, recall(ranks, k), np.nan)
            for group, mask in masks.items()
            for k in CUTOFFS
        }
    )


def recalls_by_turn(values: pl.DataFrame, turns: Sequence[str]) -> dict[str, float]:
    """The mean over turns of the mean and of the least recall of their items.

    Args:
        values: As `recalls` gives them, a row an item.
        turns: The turn of each.
    """
    names = [recall_name(k, ALL) for k in CUTOFFS]
    turned = values.select(names).with_columns(turn=pl.Series(turns)).group_by("turn")
    found = (("mean", turned.mean()), ("min", turned.min()))
    return {
        f"{name}_turn_{kind}": float(frame[name].to_numpy().mean())
        for kind, frame in found
        for name in names
    }

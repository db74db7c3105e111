"""Learning from a part of the users only, as a shop that has just opened must."""

import numpy as np
import polars as pl

from rec_gen.data.dataset import Dataset, Split, split_sizes
from rec_gen.data.splits import hash_ids


def learn_share(dataset: Dataset, share: float, seed: int) -> Dataset:
    """The same data, where the training interactions of the other users became context.

    Whoever is learnt at a share is learnt at every larger one, so that shares can be compared.

    Args:
        dataset: The data.
        share: The share of the users with training interactions that are learnt, from 0 to 1; at
            least one of them where it is above 0.
        seed: Draws them.
    """
    if share == 1:
        return dataset
    trained = pl.col("split") == Split.TRAIN
    users = dataset.frame.filter(trained)["user"].unique(maintain_order=True)
    order = np.argsort(hash_ids(users.to_list(), f"share {seed}"), kind="stable")
    learnt = users.gather(order[: round(share * len(users)) or bool(share)])
    other = trained & ~pl.col("user").is_in(learnt.implode())
    kind = dataset.frame.schema["split"]
    split = pl.when(other).then(pl.lit(Split.CONTEXT.value, kind)).otherwise(pl.col("split"))
    frame = dataset.frame.with_columns(split.alias("split"))
    counts = dataset.manifest.get("counts", {})
    totals = {name: counts[name] for name in counts if name not in tuple(Split)}
    manifest = {**dataset.manifest, "counts": {**totals, **split_sizes(frame)}, "share": share}
    return Dataset(dataset.catalog, frame, manifest, dataset.user_frame)

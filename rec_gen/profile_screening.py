"""Users whose interactions look like an attack, found without labels.

Two steps. The first ranks users by how little they share with the main directions of the crowd:
PCA-based variable selection, Mehta and Nejdl, "Unsupervised strategies for shilling detection and
robust collaborative filtering", 2009. It needs to be told how many attackers there are, so the
second keeps only those who push something: target item analysis, Zhou et al., "Detection of
abnormal profiles on group attacks in recommender systems", 2014, here with a hypergeometric test
in the place of a threshold.
"""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from rec_gen.counts import seen_matrix
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError, MissingPackageError

SHARE = 0.2
"""The users with the least in common with the crowd, among whom attackers are looked for."""
LEVEL = 0.01
"""The chance that a data set in which nothing is pushed has a suspect."""
COMPONENTS = 3

Suspects = Mapping[str, tuple[str, ...]]
"""By user, the ids of the items that they seem to push."""


def find_suspects(dataset: Dataset, share: float = SHARE, level: float = LEVEL) -> Suspects:
    """Users who have little in common with the crowd, and an item in common with each other.

    Only training interactions are read. A user of many, or of few, is not more suspect for that.

    Args:
        dataset: The data.
        share: The share of users that the first step keeps, above 0 and up to 0.5.
        level: The level of the test of all items together.

    Returns:
        Each suspect with the items that so many of the kept users hold that chance explains it no
        longer, in the order of the data set's users.

    Raises:
        ConfigError: The share or the level is out of range.
        MissingPackageError: scikit-learn is not installed.
    """
    for name, value, most in (("share", share, 0.5), ("level", level, 1.0)):
        if not 0 < value <= most:
            raise ConfigError(f"{name}: {value} is not above 0 and up to {most}; choose another")
    seen = seen_matrix(dataset)
    everybody_has_all = seen.nnz == seen.shape[0] * seen.shape[1]
    if min(seen.shape) <= COMPONENTS or everybody_has_all:
        return {}
    kept = np.sort(np.argsort(crowd_loadings(seen), kind="stable")[: round(share * seen.shape[0])])
    pushed = _pushed_items(seen, kept, level)
    users = [sequence.user for sequence in dataset.sequences()]
    ids, held = dataset.catalog.ids, seen[kept][:, pushed].tolil().rows
    return {
        users[row]: tuple(ids[pushed[column]] for column in sorted(columns))
        for row, columns in zip(kept, held, strict=True)
        if columns
    }


def crowd_loadings(seen: sparse.csr_array) -> npt.NDArray[np.float64]:
    """How much of each user lies in the main directions of all, float64 [users].

    Users are scaled to one variance first, so that it does not say how much they chose.

    Args:
        seen: float32 [users, items], 1 where a user chose an item.

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    try:
        from sklearn.decomposition import PCA
    except ImportError as error:
        raise MissingPackageError("scikit-learn", "screen") from error
    chosen = np.asarray(seen.mean(axis=1), np.float64)
    spread = np.sqrt(chosen * (1 - chosen))
    scaled = seen.multiply(1 / np.where(spread > 0, spread, 1)[:, None])
    fitted = PCA(COMPONENTS, svd_solver="arpack", random_state=0).fit(scaled.T.tocsr())
    return np.asarray((fitted.components_.astype(np.float64) ** 2).sum(axis=0))


def _pushed_items(
    seen: sparse.csr_array, kept: npt.NDArray[np.int64], level: float
) -> npt.NDArray[np.int64]:
    """Items that more of the kept users hold than so many users drawn at random would."""
    from scipy.stats import hypergeom

    users, items = seen.shape
    among = np.asarray(seen[kept].sum(axis=0))
    chances = hypergeom.sf(among - 1, users, np.asarray(seen.sum(axis=0)), len(kept))
    return np.flatnonzero(chances < level / items)


def unlearn(dataset: Dataset, users: Collection[str]) -> Dataset:
    """The same data set, in which nothing that some users did may be learnt.

    Their training interactions become context: they are still recommended to, and still evaluated.
    """
    learnt = pl.col("user").is_in(sorted(users)) & (pl.col("split") == Split.TRAIN.value)
    context = pl.lit(Split.CONTEXT.value, dataset.frame.schema["split"])
    frame = dataset.frame.with_columns(
        pl.when(learnt).then(context).otherwise("split").alias("split")
    )
    return Dataset(dataset.catalog, frame, dataset.manifest, dataset.user_frame)

"""Vectors of items, from what they say and who chose them; semantic IDs are their codes."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, model_validator

from rec_gen.catalog import Catalog
from rec_gen.config import Config
from rec_gen.errors import MissingPackageError
from rec_gen.item_columns import image_vectors, stored_vectors, text_vectors
from rec_gen.models import MINILM
from rec_gen.word_factors import WordFactors

if TYPE_CHECKING:
    import scipy.sparse as sp

Vectors = npt.NDArray[np.float32]
OF_CATALOG = ("text", "words", "cooccurrence")
OF_COLUMN = ("text", "image", "vectors")


def _known_source(source: str) -> str:
    kind, colon, column = source.partition(":")
    if source in OF_CATALOG or (colon and column and kind in OF_COLUMN):
        return source
    columns = ", ".join(f"{kind}:COLUMN" for kind in OF_COLUMN)
    raise ValueError(f"'{source}' is none of {', '.join(OF_CATALOG)}, {columns}")


Source = Annotated[str, AfterValidator(_known_source)]
"""`text`, `words`, `cooccurrence`, or what a column holds: `text:`, `image:` or `vectors:NAME`."""
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ItemVectorConfig(Config):
    """What the vector of an item is made of.

    Attributes:
        text: The columns that say what an item is, for the sources `text` and `words`.
        sources: Where the vectors come from: `text`, `words`, `cooccurrence`, or a column by its
            name: `vectors:COLUMN` holds lists of numbers, `text:COLUMN` texts and `image:COLUMN`
            paths of images, which are encoded.
        weights: How long each source's part of a vector is; 1 where none is given.
        encoders: By column, the sentence-transformers model that encodes it: a hub name or a local
            folder. Texts are encoded by all-MiniLM-L6-v2 where none is given.
    """

    text: tuple[str, ...] = Field(default=("title",), min_length=1)
    sources: tuple[Source, ...] = Field(default=("text", "cooccurrence"), min_length=1)
    weights: dict[Source, Weight] | None = None
    encoders: dict[str, str] | None = None

    @model_validator(mode="after")
    def _weighs_its_sources(self) -> Self:
        for source in self.weights or ():
            if source not in self.sources:
                raise ValueError(f"weights: '{source}' is not one of the sources")
        return self

    def weight(self, source: str) -> float:
        """The weight of a source."""
        return (self.weights or {}).get(source, 1.0)

    def encoder(self, column: str) -> str | None:
        """The model that is named for a column."""
        return (self.encoders or {}).get(column)


def join(parts: Sequence[Vectors], weights: Sequence[float] | None = None) -> Vectors:
    """Join vectors of different sources, scaled so that each row of each is as long as its weight.

    Factors of words and of co-occurrence are as long as an item's words or neighbours are common;
    left so, a few long ones would take most clusters. A row of zeros, as of an item without
    training interactions, stays one.

    Args:
        parts: float32 [items, dimensions] each.
        weights: One a part; 1 each without.

    Returns:
        float32 [items, all dimensions].
    """
    lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    scaled = [part / (length + 1e-12) for part, length in zip(parts, lengths, strict=True)]
    if weights is not None:
        scaled = [part * np.float32(weight) for part, weight in zip(scaled, weights, strict=True)]
    return np.concatenate(scaled, axis=1)


def source_vectors(
    source: str,
    catalog: Catalog,
    histories: Iterable[npt.NDArray[np.int32]],
    config: ItemVectorConfig,
    seed: int,
) -> Vectors:
    """What one source says of each item.

    Args:
        source: Its name.
        catalog: The items.
        histories: Catalog positions of each user's training interactions.
        config: The columns that say what an item is, and the encoders.
        seed: Seeds the factorisations.

    Returns:
        float32 [items, dimensions], zeros where nothing is known of an item.

    Raises:
        DataError: A column is missing or holds something else.
        SpellingError: The items' texts have too little in common.
        RecGenError: A package or an encoder is not to be had.
    """
    if source == "text":
        return text_vectors(catalog.texts(config.text))
    if source == "words":
        return WordFactors.fit(catalog.texts(config.text), seed)[1]
    if source == "cooccurrence":
        return cooccurrence_vectors(histories, len(catalog), seed)
    kind, _, column = source.partition(":")
    if kind == "vectors":
        return stored_vectors(catalog, column)
    if kind == "image":
        return image_vectors(catalog, column, config.encoder(column))
    return text_vectors(catalog.texts([column]), config.encoder(column) or MINILM)


def cooccurrence_vectors(
    histories: Iterable[npt.NDArray[np.int32]], items: int, seed: int, dimensions: int = 64
) -> Vectors:
    """Factorise the positive pointwise mutual information of items in the same histories.

    Levy and Goldberg (2014) show that this is what item2vec approximates.

    Returns:
        float32 [items, dimensions]; items without training interactions get zeros.
    """
    import scipy.sparse as sp

    rows = [np.unique(history) for history in histories]
    users = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    columns = np.concatenate(rows) if rows else np.array([], dtype=np.int32)
    ones = np.ones(len(columns), dtype=np.float32)
    matrix = sp.csr_matrix((ones, (users, columns)), shape=(len(rows), items))
    counts = (matrix.T @ matrix).tocoo()
    popularity = np.asarray(matrix.sum(axis=0)).ravel()
    expected = popularity[counts.row] * popularity[counts.col] / max(len(rows), 1)
    counts.data = np.maximum(np.log(counts.data / expected), 0)
    return _factorise(counts.tocsr(), min(dimensions, items - 1), seed)


def _factorise(matrix: "sp.csr_matrix", dimensions: int, seed: int) -> Vectors:
    try:
        from sklearn.decomposition import TruncatedSVD
    except ImportError as error:
        raise MissingPackageError("scikit-learn", "train") from error
    vectors = TruncatedSVD(dimensions, random_state=seed).fit_transform(matrix)
    return np.asarray(vectors, dtype=np.float32)

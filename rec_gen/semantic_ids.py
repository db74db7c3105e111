"""Semantic IDs: residual k-means codes of item vectors.

TIGER (Rajput et al., 2023) quantises text embeddings with a residual autoencoder; residual k-means
over the same vectors is simpler and needs no training run (Deng et al., OneRec, 2025).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from rec_gen.errors import MissingPackageError, SpellingError
from rec_gen.models import load_text_encoder

if TYPE_CHECKING:
    import scipy.sparse as sp

Source = Literal["text", "words", "cooccurrence"]
Vectors = npt.NDArray[np.float32]
LONGEST_TEXT = 64
"""Tokens of a text that a sentence embedding is made of; more say little more, and cost time."""
WORD = r"[\w./-]+"
"""A word in which sizes such as 1/2 and part numbers stay whole."""


def item_vectors(
    texts: Sequence[str],
    histories: Iterable[npt.NDArray[np.int32]],
    sources: Sequence[Source],
    seed: int,
) -> Vectors:
    """Join item vectors from the chosen sources, each scaled to the same total variance.

    Args:
        texts: One text an item, by catalog position.
        histories: Catalog positions of each user's training interactions.
        sources: Where the vectors come from.
        seed: Seeds the factorisation of co-occurrence.

    Returns:
        float32 [items, dimensions].

    Raises:
        SpellingError: There are fewer than two items.
    """
    if len(texts) < 2:
        raise SpellingError("semantic IDs need at least two items; spell by title or item")
    parts = [source_vectors(source, texts, histories, seed) for source in sources]
    return np.concatenate([part / (part.std() * part.shape[1] ** 0.5 + 1e-12) for part in parts], 1)


def source_vectors(
    source: Source,
    texts: Sequence[str],
    histories: Iterable[npt.NDArray[np.int32]],
    seed: int,
) -> Vectors:
    """What one source says of each item, float32 [items, dimensions]."""
    if source == "text":
        return text_vectors(texts)
    if source == "words":
        return word_vectors(texts, seed)
    return cooccurrence_vectors(histories, len(texts), seed)


def text_vectors(texts: Sequence[str]) -> Vectors:
    """Sentence embeddings of how texts begin, by all-MiniLM-L6-v2; float32 [texts, 384]."""
    encoder = load_text_encoder()
    encoder.max_seq_length = LONGEST_TEXT
    encoded = encoder.encode(list(texts), show_progress_bar=False)
    return np.asarray(encoded, dtype=np.float32)


def word_vectors(texts: Sequence[str], seed: int, dimensions: int = 256) -> Vectors:
    """Factorise the tf-idf weights of words and word pairs.

    Brands, sizes and part numbers stay apart that a sentence embedding blurs. Source: Deerwester
    et al., "Indexing by latent semantic analysis", 1990.

    Returns:
        float32 [texts, dimensions], fewer where there are few words.

    Raises:
        SpellingError: The texts have too little in common.
        MissingPackageError: scikit-learn is not installed.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        raise MissingPackageError("scikit-learn", "train") from error
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=WORD)
    weights = vectorizer.fit_transform(texts)
    often = np.asarray((weights > 0).sum(axis=0)).ravel() > 1
    if often.sum() < 2:
        raise SpellingError(
            "the items' texts share less than two words: leave the source 'words' out"
        )
    weights = weights[:, often]
    return _factorise(weights, min(dimensions, min(weights.shape) - 1), seed)


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


def residual_kmeans(vectors: Vectors, levels: int, codes: int, seed: int) -> npt.NDArray[np.int64]:
    """Quantise vectors level by level, each level clustering what the one before left over.

    Args:
        vectors: float32 [items, dimensions].
        levels: Codes an item.
        codes: Clusters a level; fewer when there are fewer items.
        seed: Seeds the clusterings.

    Returns:
        int64 [items, levels].
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise MissingPackageError("scikit-learn", "train") from error
    residual, columns = vectors.astype(np.float32, copy=True), []
    for level in range(levels):
        means = KMeans(min(codes, len(vectors)), n_init=1, random_state=seed + level)
        labels = means.fit_predict(residual)
        residual -= means.cluster_centers_[labels]
        columns.append(labels.astype(np.int64))
    return np.stack(columns, axis=1)

"""Vectors of items, from what they say and who chose them; semantic IDs are their codes."""

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
    """Join item vectors from the chosen sources.

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
    return join([source_vectors(source, texts, histories, seed) for source in sources])


def join(parts: Sequence[Vectors]) -> Vectors:
    """Join vectors of different sources, scaled so that each row of each has length one.

    Factors of words and of co-occurrence are as long as an item's words or neighbours are common;
    left so, a few long ones would take most clusters. A row of zeros, as of an item without
    training interactions, stays one.

    Args:
        parts: float32 [items, dimensions] each.

    Returns:
        float32 [items, all dimensions].
    """
    lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    scaled = [part / (length + 1e-12) for part, length in zip(parts, lengths, strict=True)]
    return np.concatenate(scaled, axis=1)


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

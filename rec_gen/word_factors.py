"""Vectors of words and word pairs: tf-idf, factorised so that new texts can be folded in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from rec_gen.errors import MissingPackageError, SpellingError

Vectors = npt.NDArray[np.float32]
WORD = r"[\w./-]+"
"""A word in which sizes such as 1/2 and part numbers stay whole."""


@dataclass(frozen=True, eq=False)
class WordFactors:
    """Brands, sizes and part numbers stay apart here that a sentence embedding blurs.

    Source: Deerwester et al., "Indexing by latent semantic analysis", 1990, which also folds new
    texts in.

    Attributes:
        terms: The words and word pairs that at least two texts share.
        idf: float32 [terms], their inverse document frequencies.
        components: float16 [dimensions, terms], the directions.
    """

    terms: list[str]
    idf: Vectors
    components: npt.NDArray[np.float16]

    @classmethod
    def fit(cls, texts: Sequence[str], seed: int, dimensions: int = 256) -> tuple[Self, Vectors]:
        """Factorise the weights of the words of some texts.

        Args:
            texts: One an item.
            seed: Seeds the factorisation.
            dimensions: Of the vectors; fewer where there are few words.

        Returns:
            The factors, and the texts' own vectors, float32 [texts, dimensions].

        Raises:
            SpellingError: The texts have too little in common.
            MissingPackageError: scikit-learn is not installed.
        """
        vectorizer = _vectorizer()
        weights = vectorizer.fit_transform(texts)
        often = np.asarray((weights > 0).sum(axis=0)).ravel() > 1
        if often.sum() < 2:
            raise SpellingError(
                "the items' texts share less than two words: leave the source 'words' out"
            )
        from sklearn.decomposition import TruncatedSVD

        weights = weights[:, often]
        size = min(dimensions, min(weights.shape) - 1)
        factors = TruncatedSVD(size, random_state=seed)
        vectors = np.asarray(factors.fit_transform(weights), np.float32)
        terms = vectorizer.get_feature_names_out()[often].tolist()
        idf = vectorizer.idf_[often].astype(np.float32)
        return cls(terms, idf, factors.components_.astype(np.float16)), vectors

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Fold texts in; vectors point where those of `fit` do, and are longer.

        Returns:
            float32 [texts, dimensions].

        Raises:
            MissingPackageError: scikit-learn is not installed.
        """
        vectorizer = _vectorizer(vocabulary=self.terms, norm=None)
        vectorizer.idf_ = self.idf
        weights = vectorizer.transform(texts)
        return np.asarray(weights @ self.components.T.astype(np.float32), np.float32)


def _vectorizer(**options: Any) -> Any:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        raise MissingPackageError("scikit-learn", "train") from error
    return TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=WORD, **options)

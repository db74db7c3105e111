"""What someone might ask for in words when an item is what they want."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import regex
from sklearn.feature_extraction.text import TfidfVectorizer

from rec_gen.errors import ConfigError
from rec_gen.text import clean_text

FEWEST, MOST = 2, 4
"""Words of a request, where the item's text has as many."""

_WORD = regex.compile(r"\w+(?:[./-]\w+)*")
"""Unlike in `re`, a combining mark belongs to its word."""


class Requests:
    """Draws telling words from the texts of items.

    Attributes:
        items: int64 [n], the items whose text has a word.
    """

    items: npt.NDArray[np.int64]

    def __init__(self, texts: Sequence[str], rng: np.random.Generator) -> None:
        """Weigh the words by tf-idf.

        Args:
            texts: One text an item.
            rng: Draws the words.

        Raises:
            ConfigError: No text has a word.
        """
        vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=None, tokenizer=_WORD.findall)
        try:
            self._weights = vectorizer.fit_transform(map(clean_text, texts)).tocsr()
        except ValueError as error:
            raise ConfigError("tasks: the items' texts have no word to search by") from error
        self._words, self._rng = vectorizer.get_feature_names_out(), rng
        self.items = np.flatnonzero(np.diff(self._weights.indptr))

    def draw(self, item: int) -> str:
        """A request for an item, in lower case."""
        cells = slice(self._weights.indptr[item], self._weights.indptr[item + 1])
        weights = self._weights.data[cells]
        count = min(int(self._rng.integers(FEWEST, MOST + 1)), len(weights))
        chances = weights / weights.sum()
        chosen = self._rng.choice(self._weights.indices[cells], count, replace=False, p=chances)
        return " ".join(self._words[chosen])

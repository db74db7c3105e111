import numpy as np
import pytest

from rec_gen.errors import SpellingError
from rec_gen.semantic_ids import (
    cooccurrence_vectors,
    item_vectors,
    join,
    word_vectors,
)


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))


def test_items_of_the_same_histories_are_alike() -> None:
    histories = [np.array([0, 1, 2], np.int32), np.array([3, 4, 5], np.int32)] * 10
    vectors = cooccurrence_vectors(histories, 7, seed=0)
    assert cosine(vectors[0], vectors[1]) > 0.9 > 0.1 > cosine(vectors[0], vectors[3])
    assert not vectors[6].any()


def test_titles_of_one_kind_are_alike() -> None:
    titles = ["Chocolate cake", "Vanilla cake with cream", "Electric drill", "Cordless power drill"]
    vectors = item_vectors(titles, [], ["text"], seed=0)
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2])
    assert cosine(vectors[2], vectors[3]) > cosine(vectors[1], vectors[3])


def test_joined_sources_weigh_alike() -> None:
    histories = [np.array([0, 1], np.int32), np.array([2, 3], np.int32)]
    titles = ["Chocolate cake", "Vanilla cake", "Electric drill", "Power drill"]
    text = item_vectors(titles, histories, ["text"], seed=0)
    joined = item_vectors(titles, histories, ["text", "cooccurrence"], seed=0)
    other = joined[:, text.shape[1] :]
    assert (joined[:, : text.shape[1]] == text).all()
    assert np.linalg.norm(text, axis=1) == pytest.approx(1, abs=1e-4)
    assert np.linalg.norm(other, axis=1) == pytest.approx(1, abs=1e-4)


def test_a_source_that_knows_nothing_of_an_item_stays_silent() -> None:
    known = np.array([[3, 4], [0, 0]], np.float32)
    assert join([known, known[::-1]]) == pytest.approx(
        np.array([[0.6, 0.8, 0, 0], [0, 0, 0.6, 0.8]])
    )


def test_one_item_has_no_code() -> None:
    with pytest.raises(SpellingError, match="at least two items"):
        item_vectors(["Alone"], [], ["cooccurrence"], seed=0)


def test_items_that_share_rare_words_are_alike() -> None:
    texts = ["Acme 1/4 hex bolt", "Acme 1/4 hex nut", "Zeta LED strip", "Zeta LED lamp", "a thing"]
    vectors = word_vectors(texts, seed=0)
    assert vectors.shape == (5, 4)
    assert cosine(vectors[0], vectors[1]) > 0.9 > cosine(vectors[0], vectors[2])
    assert not vectors[4].any()


def test_texts_without_shared_words_are_refused() -> None:
    with pytest.raises(SpellingError, match="leave the source 'words' out"):
        word_vectors(["one", "two", "three"], seed=0)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.config import parse_config
from rec_gen.errors import ConfigError, SpellingError
from rec_gen.item_columns import text_vectors
from rec_gen.semantic_ids import ItemVectorConfig, cooccurrence_vectors, join
from rec_gen.word_factors import WordFactors


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))


def test_items_of_the_same_histories_are_alike() -> None:
    histories = [np.array([0, 1, 2], np.int32), np.array([3, 4, 5], np.int32)] * 10
    vectors = cooccurrence_vectors(histories, 7, seed=0)
    assert cosine(vectors[0], vectors[1]) > 0.9 > 0.1 > cosine(vectors[0], vectors[3])
    assert not vectors[6].any()


def test_titles_of_one_kind_are_alike() -> None:
    titles = ["Chocolate cake", "Vanilla cake with cream", "Electric drill", "Cordless power drill"]
    vectors = text_vectors([*titles, " ", None])
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2])
    assert cosine(vectors[2], vectors[3]) > cosine(vectors[1], vectors[3])
    assert not vectors[4:].any()


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=4), st.integers(0, 99))
def test_each_source_is_as_long_as_its_weight(weights: list[float], seed: int) -> None:
    drawn = np.random.default_rng(seed).normal(size=(len(weights), 5, 3)).astype(np.float32)
    joined = join(list(drawn), weights)
    for place, weight in enumerate(weights):
        part = joined[:, 3 * place : 3 * place + 3]
        assert np.linalg.norm(part, axis=1) == pytest.approx(weight, rel=1e-4)
    assert (join(list(drawn)) == join(list(drawn), [1.0] * len(weights))).all()


def test_a_source_that_knows_nothing_of_an_item_stays_silent() -> None:
    known = np.array([[3, 4], [0, 0]], np.float32)
    assert join([known, known[::-1]]) == pytest.approx(
        np.array([[0.6, 0.8, 0, 0], [0, 0, 0.6, 0.8]])
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sources": ["sound"]}, "'sound' is none of text, words, cooccurrence, text:COLUMN"),
        ({"sources": ["vectors:"]}, "'vectors:' is none of"),
        ({"weights": {"words": 2}}, "'words' is not one of the sources"),
        ({"weights": {"text": 0}}, "greater than 0"),
    ],
)
def test_what_no_source_is_is_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(ItemVectorConfig, table)


def test_items_that_share_rare_words_are_alike() -> None:
    texts = ["Acme 1/4 hex bolt", "Acme 1/4 hex nut", "Zeta LED strip", "Zeta LED lamp", "a thing"]
    factors, vectors = WordFactors.fit(texts, seed=0)
    assert vectors.shape == (5, 4)
    assert cosine(vectors[0], vectors[1]) > 0.9 > cosine(vectors[0], vectors[2])
    assert not vectors[4].any()
    again = factors.encode([*texts, "Zeta LED bulb", "nothing known"])
    assert join([again[:5]]) == pytest.approx(join([vectors]), abs=2e-3)
    assert cosine(again[5], vectors[2]) > 0.9
    assert not again[6].any()


def test_texts_without_shared_words_are_refused() -> None:
    with pytest.raises(SpellingError, match="leave the source 'words' out"):
        WordFactors.fit(["one", "two", "three"], seed=0)

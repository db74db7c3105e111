import unicodedata

import numpy as np
import pytest

from rec_gen.errors import ConfigError
from training.requests import FEWEST, MOST, Requests


def requests(*texts: str) -> Requests:
    return Requests(texts, np.random.default_rng(0))


def test_telling_words_are_drawn_more_often() -> None:
    common, rare = "one two three four", "amber birch cedar dawn"
    asked = requests(f"{common} {rare}", *[common] * 49)
    drawn = [word for _ in range(300) for word in asked.draw(0).split()]
    assert {*drawn} == {*common.split(), *rare.split()}
    assert np.mean([word in rare.split() for word in drawn]) > 0.65


def test_a_request_has_two_to_four_words_each_once() -> None:
    asked = requests("a b c d e f", "g")
    drawn = [asked.draw(0).split() for _ in range(100)]
    assert {len(words) for words in drawn} == {*range(FEWEST, MOST + 1)} == {2, 3, 4}
    assert all(len({*words}) == len(words) for words in drawn)
    assert asked.draw(1) == "g"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी फिल्म", {"हिन्दी", "फिल्म"}),
        (unicodedata.normalize("NFD", "Café Zoë"), {"café", "zoë"}),
        ("Spider-Man\u200f: x", {"spider-man", "x"}),
        ("q\u0303a B", {"q\u0303a", "b"}),
    ],
)
def test_no_word_is_torn_apart(text: str, words: set[str]) -> None:
    assert {*requests(text).draw(0).split()} == words


def test_items_without_a_word_are_left_out() -> None:
    assert requests("a b", "?!", "c").items.tolist() == [0, 2]
    with pytest.raises(ConfigError, match="the items' texts have no word to search by"):
        requests("", "?!")

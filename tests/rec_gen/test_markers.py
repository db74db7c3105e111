from pathlib import Path

import pytest

from rec_gen.errors import BundleError
from rec_gen.markers import CLOSE, OPEN, add_markers, marker_ids
from rec_gen.models import load_tokenizer
from rec_gen.testing import tiny_tokenizer
from rec_gen.text import TextEncoder


def test_both_are_tokens_of_their_own_and_stay_so(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(chat=True)
    size = len(tokenizer)
    add_markers(tokenizer)
    add_markers(tokenizer)
    assert marker_ids(tokenizer) == (size, size + 1)
    assert len(tokenizer) == size + 2
    assert tokenizer.encode(f"{OPEN}{CLOSE}", add_special_tokens=False) == [size, size + 1]
    tokenizer.save_pretrained(tmp_path)
    assert marker_ids(load_tokenizer(str(tmp_path))) == (size, size + 1)


def test_who_types_one_writes_text() -> None:
    tokenizer = tiny_tokenizer(chat=True)
    add_markers(tokenizer)
    ids = TextEncoder(tokenizer).untrusted(f"Try {OPEN}me{CLOSE}.")
    assert not set(ids).intersection(marker_ids(tokenizer))


def test_a_tokenizer_without_them_is_refused() -> None:
    with pytest.raises(BundleError, match="has no marker tokens: train it with a reply task"):
        marker_ids(tiny_tokenizer(chat=True))

"""Untrusted text: titles, fields and user input that must not become markup."""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_INVISIBLE = {"Cc", "Cs", "Co", "Cn"}
_BIDI_CONTROLS = set(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)


def clean_text(text: str) -> str:
    """One line of printable text: control, private-use and direction characters become spaces."""
    text = unicodedata.normalize("NFC", text)
    if not text.isprintable():
        text = "".join(
            " " if unicodedata.category(char) in _INVISIBLE or char in _BIDI_CONTROLS else char
            for char in text
        )
    return " ".join(text.split())


def clean_words(text: str) -> str:
    """A part of one printable line that holds no "<", so that it can forge no markup."""
    return clean_text("|" + text.replace("<", "\u2039") + "|")[1:-1]


def clean_value(value: Any) -> Any:
    """A field's value in which every text is clean, lists and mappings included."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_value(key): clean_value(inner) for key, inner in value.items()}
    if isinstance(value, bytes):
        return clean_text(value.decode("utf-8", errors="replace"))
    if isinstance(value, list | tuple | np.ndarray):
        return [clean_value(inner) for inner in value]
    return value


class TextEncoder:
    """Encodes text piece by piece, with or without markup; remembers the pieces of templates."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        names = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)
        # an added token of one character cannot be cut, and names nothing that opens a turn
        several = [re.escape(name) for name in names if len(name) > 1]
        # overlapping names are found too, as each match is a look-ahead
        self._markup = re.compile(f"(?={'|'.join(several)})" if several else r"(?!)")
        self.trusted = lru_cache(maxsize=4096)(partial(_encode, tokenizer))

    def untrusted(self, text: str) -> list[int]:
        """Token ids of a text in which nothing is markup.

        A tokenizer turns the names of its added tokens, such as `<|im_start|>`, into those tokens
        wherever they stand. Here each such name is cut in two, so that it stays plain text.
        """
        cuts = [match.start() + 1 for match in self._markup.finditer(text)]
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        return [token for piece in pieces for token in _encode(self._tokenizer, piece)]


def _encode(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

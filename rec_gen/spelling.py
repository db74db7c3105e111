"""How each item is written: one token sequence an item, none the beginning of another."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.errors import BundleError, SpellingError
from rec_gen.text import TextEncoder, clean_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Scheme = Literal["title", "semantic", "item"]

TERMINATOR = "\n"
"""Ends every spelled title, so that "Alien" does not begin "Aliens"."""

LONGEST_SUFFIX = 40
"""Characters of metadata at most that tell equal titles apart; beyond that the id does."""


@dataclass(frozen=True)
class Spellings:
    """The spellings of a catalog, by position.

    Attributes:
        scheme: How the items are written.
        texts: What a reader of a prompt sees.
        tokens: int32 [length], what the model reads and writes, for each item.
    """

    scheme: Scheme
    texts: list[str]
    tokens: list[npt.NDArray[np.int32]]

    def save(self, path: Path, catalog: Catalog) -> None:
        """Write a Parquet file that also holds each item's id and digest."""
        pl.DataFrame(
            {
                "item": catalog.ids,
                "digest": catalog.digests,
                "text": self.texts,
                "tokens": pl.Series(self.tokens, dtype=pl.List(pl.Int32)),
            }
        ).write_parquet(path)

    @classmethod
    def load(cls, path: Path, scheme: Scheme, catalog: Catalog) -> "Spellings":
        """Read the spellings of a catalog.

        Raises:
            BundleError: The catalog is not the one that was spelled; the difference is named.
        """
        frame = pl.read_parquet(path, glob=False)
        spelled = dict(zip(frame["item"], frame["digest"], strict=True))
        present = dict(zip(catalog.ids, catalog.digests, strict=True))
        for verb, items in (
            ("is missing from", [item for item in spelled if item not in present]),
            ("was added to", [item for item in present if item not in spelled]),
            ("was changed in", [i for i in present if present[i] != spelled.get(i)]),
        ):
            if items:
                more = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
                raise BundleError(f"{path.parent}: item '{items[0]}' {verb} the catalog{more}")
        if catalog.ids != frame["item"].to_list():
            raise BundleError(f"{path.parent}: the items of the catalog are in another order")
        return cls(scheme, frame["text"].to_list(), [t.to_numpy() for t in frame["tokens"]])


def spell(
    catalog: Catalog,
    scheme: Scheme,
    tokenizer: "PreTrainedTokenizerBase",
    codes: npt.NDArray[np.int64] | None = None,
) -> Spellings:
    """Spell a catalog; tokens that a tokenizer lacks are added to it.

    Args:
        catalog: The items.
        scheme: How to write them.
        tokenizer: Whose tokens are used.
        codes: For `semantic`, int64 [items, levels].

    Raises:
        SpellingError: The catalog cannot be spelled so, or `semantic` comes without codes.
    """
    if scheme == "title":
        return tokenize_titles(spell_titles(catalog), tokenizer)
    if scheme == "semantic":
        if codes is None:
            raise SpellingError("semantic IDs need codes; quantise the items first")
        return tokenize_new("semantic", spell_codes(codes), tokenizer)
    return tokenize_new("item", [[name] for name in spell_items(catalog)], tokenizer)


def spell_titles(catalog: Catalog) -> list[str]:
    """Titles as one line each; equal ones get the shortest metadata that tells them apart.

    Raises:
        SpellingError: A title has no printable character.
    """
    texts = [clean_text(title) for title in catalog.titles]
    for position, text in enumerate(texts):
        if not text:
            raise SpellingError(f"item '{catalog.ids[position]}' has a title without any text")
    groups = defaultdict(list)
    for position, text in enumerate(texts):
        groups[text].append(position)
    taken = set(groups)
    for group in groups.values():
        if len(group) > 1:
            told_apart = _tell_apart(catalog, texts[group[0]], group, taken)
            taken.update(told_apart)
            for position, text in zip(group, told_apart, strict=True):
                texts[position] = text
    return texts


def _tell_apart(catalog: Catalog, title: str, group: list[int], taken: set[str]) -> list[str]:
    rows = catalog.frame[group]
    for columns in (catalog.metadata, ["item"]):
        suffixes = [[_suffix(value) for value in rows[column].to_list()] for column in columns]
        suffixed = [
            [f"{title} [{suffix}]" for suffix in column]
            for column in suffixes
            if columns == ["item"]
            or 0 < min(map(len, column)) <= max(map(len, column)) <= LONGEST_SUFFIX
        ]
        told_apart = [
            texts for texts in suffixed if len(set(texts)) == len(texts) and taken.isdisjoint(texts)
        ]
        if told_apart:
            return min(told_apart, key=lambda texts: max(map(len, texts)))
    ids = ", ".join(f"'{item}'" for item in rows["item"])
    raise SpellingError(f"items {ids}: nothing tells their title '{title}' apart")


def _suffix(value: Any) -> str:
    if value is None:
        return ""
    return clean_text(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def spell_items(catalog: Catalog) -> list[str]:
    """One new token an item."""
    return [f"<i_{position}>" for position in range(len(catalog))]


def code_token(level: int, code: int) -> str:
    """The token of a code, such as `<b_203>`; levels count from 0."""
    return f"<{chr(ord('a') + level)}_{code}>"


def spell_codes(codes: npt.NDArray[np.int64]) -> list[list[str]]:
    """Semantic IDs as new tokens, with a last one that only items with colliding codes get.

    Args:
        codes: int64 [items, levels].

    Returns:
        For each item, its tokens, such as `["<a_17>", "<b_203>", "<c_5>"]`.
    """
    rows = [tuple(row) for row in codes.tolist()]
    shared, seen = Counter(rows), Counter[tuple[int, ...]]()
    spellings = []
    for row in rows:
        tokens = [code_token(level, code) for level, code in enumerate(row)]
        if shared[row] > 1:
            tokens.append(code_token(len(row), seen[row]))
            seen[row] += 1
        spellings.append(tokens)
    return spellings


def tokenize_titles(
    texts: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    known: Mapping[str, npt.NDArray[np.int32]] = MappingProxyType({}),
) -> Spellings:
    """Spell titles with a tokenizer's own vocabulary.

    Args:
        texts: One line each, all distinct.
        tokenizer: Whose tokens are used.
        known: The tokens of spelled titles, line break included, that need no tokenising.

    Raises:
        SpellingError: The tokenizer cannot write a line break, or writes two titles alike.
    """
    encoder = TextEncoder(tokenizer)
    end = encoder.trusted(TERMINATOR)
    if len(end) != 1:
        raise SpellingError("the tokenizer has no token for a line break; use another spelling")
    tokens = [
        known[text + TERMINATOR]
        if text + TERMINATOR in known
        else np.array(encoder.untrusted(text) + end, np.int32)
        for text in texts
    ]
    first_with: dict[bytes, str] = {}
    for text, ids in zip(texts, tokens, strict=True):
        other = first_with.setdefault(ids.tobytes(), text)
        if other != text:
            raise SpellingError(f"the tokenizer writes '{other}' and '{text}' alike")
    return Spellings("title", [text + TERMINATOR for text in texts], tokens)


def tokenize_new(
    scheme: Scheme, spelled: Iterable[Sequence[str]], tokenizer: "PreTrainedTokenizerBase"
) -> Spellings:
    """Spell items with new tokens, which are added to the tokenizer where they are missing."""
    from tokenizers import AddedToken

    spelled = list(spelled)
    names = sorted({name for tokens in spelled for name in tokens}, key=_natural)
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in names])
    ids = dict(zip(names, tokenizer.convert_tokens_to_ids(names), strict=True))
    return Spellings(
        scheme,
        ["".join(tokens) for tokens in spelled],
        [np.array([ids[name] for name in tokens], np.int32) for tokens in spelled],
    )


def _natural(name: str) -> tuple[str, int]:
    letter, _, number = name.strip("<>").partition("_")
    return letter, int(number)

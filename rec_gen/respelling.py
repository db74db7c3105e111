"""How a running model writes items that were added or edited: with the tokens that it has."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rec_gen.catalog import Catalog, Item
from rec_gen.errors import SpellingError
from rec_gen.item_encoder import ItemEncoder
from rec_gen.spelling import (
    TERMINATOR,
    Spellings,
    code_token,
    spell_codes,
    spell_titles,
    tokenize_titles,
)
from rec_gen.text import clean_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Codes = Mapping[str, Sequence[int]]
"""Semantic codes, one for each level, by item id."""


class Respeller:
    """Spells the versions of one catalog as `spell` would, and tokenises only what changed."""

    def __init__(
        self,
        spellings: Spellings,
        tokenizer: "PreTrainedTokenizerBase",
        encoder: ItemEncoder | None = None,
    ) -> None:
        self._scheme = spellings.scheme
        self._tokenizer = tokenizer
        self._encoder = encoder
        # colliding items have one token more, so the shortest spelling shows the levels, unless
        # all of them collide
        shortest = min(map(len, spellings.tokens))
        self._levels = len(encoder.centers) if encoder else shortest

    def complete(
        self, catalog: Catalog, spellings: Spellings, put: Sequence[Item], codes: Codes
    ) -> Codes:
        """Give codes to the new items that come without, where the bundle kept what makes them.

        An item gets the nearest codes that leave it a spelling: those that no item has, or those
        where the model has a further token to tell another item apart.

        Args:
            catalog: The catalog before the change.
            spellings: How it is spelled.
            put: The items of the change.
            codes: The codes that are given.

        Returns:
            Those, and the codes of every other new item.

        Raises:
            DataError: An item does not fit the catalog, or its vectors those of training.
            SpellingError: Nothing is known of an item that its codes could be made of, or no
                spelling is left.
            RecGenError: What encodes the items is not installed or cannot be found.
        """
        if self._scheme != "semantic" or self._encoder is None:
            return codes
        known = {*catalog.positions, *codes}
        # what is no item is left to the catalog, which says so
        bare = [item for item in put if not isinstance(item, Item) or item.id not in known]
        if not bare:
            return codes
        new = Catalog(catalog.put(bare).frame[len(catalog) :])
        levels, size = self._levels, self._encoder.centers.shape[1]
        vocabulary = self._tokenizer.get_added_vocab()
        usable = np.array(
            [
                [code_token(level, code) in vocabulary for code in range(size)]
                for level in range(levels)
            ]
        )
        room = 1
        while code_token(levels, room) in vocabulary:
            room += 1
        taken = Counter(tuple(_read_codes(text)[:levels]) for text in spellings.texts)
        taken.update(tuple(row) for row in codes.values())
        chosen = dict(codes)
        for item, vector, told in zip(new.ids, *self._encoder.encode(new), strict=True):
            near = self._encoder.nearest(vector, told, usable)
            row = next((row for row in near if taken[row] < room), None)
            if row is None:
                raise SpellingError(
                    f"item '{item}': the model has no spelling left: train it again"
                )
            taken[row] += 1
            chosen[item] = row
        return chosen

    def respell(
        self,
        old: Catalog,
        new: Catalog,
        spellings: Spellings,
        changed: Sequence[int],
        codes: Codes,
    ) -> Spellings:
        """Spell a changed catalog.

        Args:
            old: The catalog before the change.
            new: The catalog after it: the same items at the same positions, then new ones.
            spellings: How the old catalog is spelled.
            changed: Positions of new and edited items.
            codes: For the `semantic` scheme, the codes of every new item, and of those that move.

        Returns:
            The spellings; the same object if nothing is written in another way.

        Raises:
            SpellingError: An item cannot be written with the tokens that the model has.
        """
        if codes and self._scheme != "semantic":
            raise SpellingError(
                f"item '{next(iter(codes))}' comes with codes, and this model spells by "
                f"{self._scheme}: leave them out"
            )
        if self._scheme == "title":
            return self._titles(old, new, spellings, changed)
        if self._scheme == "semantic":
            return self._codes(new, spellings, codes)
        if len(new) > len(old):
            raise SpellingError(
                f"item '{new.ids[len(old)]}' is new, and this model knows each item by a token of "
                "its own: train it again, or train one that spells by title or semantic"
            )
        return spellings

    def _titles(
        self, old: Catalog, new: Catalog, spellings: Spellings, changed: Sequence[int]
    ) -> Spellings:
        def is_settled(place: int) -> bool:
            """The title was and is spelled plainly, so that no metadata tells it apart."""
            titles = (catalog.frame["title"][place] for catalog in (old, new))
            return all(spellings.texts[place] == clean_text(title) + TERMINATOR for title in titles)

        if len(old) == len(new) and all(map(is_settled, changed)):
            return spellings
        known = dict(zip(spellings.texts, spellings.tokens, strict=True))
        respelled = tokenize_titles(spell_titles(new), self._tokenizer, known)
        return spellings if respelled.texts == spellings.texts else respelled

    def _codes(self, catalog: Catalog, spellings: Spellings, codes: Codes) -> Spellings:
        for item in catalog.ids[len(spellings.texts) :]:
            if item not in codes:
                raise SpellingError(f"item '{item}' is new: give it {self._levels} codes")
        if not codes:
            return spellings
        vocabulary = self._tokenizer.get_added_vocab()
        for item, row in codes.items():
            if len(row) != self._levels:
                raise SpellingError(f"item '{item}': has {len(row)} codes; give {self._levels}")
            for level, code in enumerate(row):
                if code_token(level, code) not in vocabulary:
                    raise SpellingError(
                        f"item '{item}': the model has no token {code_token(level, code)}; "
                        "use codes that its items have, or train it again"
                    )
        rows = [_read_codes(text)[: self._levels] for text in spellings.texts]
        alone = ["".join(names) for names in spell_codes(np.array(rows, dtype=np.int64))]
        if alone != spellings.texts:
            raise SpellingError(
                f"item '{next(iter(codes))}': the items of this catalog were told apart beside "
                "those of other domains, and its codes stay: train it again with the new items"
            )
        rows += [[]] * (len(catalog) - len(rows))
        for item, row in codes.items():
            rows[catalog.position(item)] = list(row)
        spelled = spell_codes(np.array(rows, dtype=np.int64))
        for position, names in enumerate(spelled):
            if names[-1] not in vocabulary:
                raise SpellingError(
                    f"item '{catalog.ids[position]}': shares its codes with others, and the model "
                    f"has no token {names[-1]} to tell it apart; give the new one other codes"
                )
        texts = ["".join(names) for names in spelled]
        if texts == spellings.texts:
            return spellings
        known = dict(zip(spellings.texts, spellings.tokens, strict=True))
        tokens = [
            known[text]
            if text in known
            else np.array([vocabulary[name] for name in names], np.int32)
            for text, names in zip(texts, spelled, strict=True)
        ]
        return Spellings("semantic", texts, tokens)


def _read_codes(text: str) -> list[int]:
    """The codes of an item from its text, such as 17, 203 and 5 from `<a_17><b_203><c_5>`."""
    return [int(code) for code in re.findall(r"_(\d+)>", text)]

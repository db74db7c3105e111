"""The two tokens between which a reply names an item by its spelling."""

from typing import TYPE_CHECKING

from rec_gen.errors import BundleError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OPEN, CLOSE = "<item>", "</item>"


def add_markers(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Add both tokens to a tokenizer, where they are missing."""
    from tokenizers import AddedToken

    markers = [AddedToken(name, special=True, normalized=False) for name in (OPEN, CLOSE)]
    tokenizer.add_tokens(markers, special_tokens=True)


def marker_ids(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, int]:
    """The ids of the token that opens an item and of the one that closes it.

    Raises:
        BundleError: The tokenizer lacks them.
    """
    added = tokenizer.get_added_vocab()
    if OPEN not in added or CLOSE not in added:
        raise BundleError("the bundle's tokenizer has no marker tokens: train it with a reply task")
    return added[OPEN], added[CLOSE]

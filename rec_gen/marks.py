"""Invisible marks that carry two facts from a template to the tokenizer.

Jinja and chat templates see only strings. Private-use characters, which `clean_text` takes out of
all data, therefore mark what came from data (never markup) and where an item is spelled.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_OPEN, _CLOSE = "\ue000", "\ue001"
_ITEM, _END = "\ue002", "\ue003"
_PART = re.compile(f"([{_OPEN}{_CLOSE}]|{_ITEM}[0-9]+{_END})")
_ANY = re.compile(f"[{_OPEN}{_CLOSE}{_ITEM}{_END}]")


@dataclass(frozen=True)
class Segment:
    """A piece of a rendered prompt.

    Attributes:
        text: The text; empty for a spelled item.
        trusted: Whether it was written by a template, so that markup in it counts.
        item: For a spelled item, its place in the history; otherwise None.
    """

    text: str
    trusted: bool
    item: int | None = None


def mark_item(place: int) -> str:
    """What a template prints for the spelling of a history's item."""
    return f"{_ITEM}{place}{_END}"


def mark_untrusted(value: Any) -> str:
    """Mark the printed value of a template's expression as data."""
    return f"{_OPEN}{value}{_CLOSE}"


def split_marks(marked: str) -> Iterator[Segment]:
    """Split a marked text into its segments.

    Raises:
        ValueError: A filter in the template tore a mark apart.
    """
    depth = 0
    for part in filter(None, _PART.split(marked)):
        if part == _OPEN:
            depth += 1
        elif part == _CLOSE:
            depth -= 1
        elif part.startswith(_ITEM) and part.endswith(_END):
            yield Segment("", trusted=False, item=int(part[1:-1]))
        elif _ANY.search(part):
            raise ValueError("a mark is torn")
        else:
            yield Segment(part, trusted=depth == 0)
    if depth:
        raise ValueError("a mark is left open")

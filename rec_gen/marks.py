"""Marks that carry three facts from a template to the tokenizer.

Jinja and chat templates see only strings. What came from data (never markup), where an item is
spelled and where its image is shown are therefore marked inside the string. The marks hold a secret
of this process, so that no data can forge one, whatever a template's filters make of it.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_SECRET = secrets.token_hex(8)
_OPEN, _CLOSE = f"\ue000{_SECRET}(", f"\ue000{_SECRET})"
_PART = re.compile(f"(\ue000{_SECRET}(?:[()]|i?[0-9]+;))")
_ITEM = re.compile(f"(\ue000{_SECRET})([0-9]+;)")


@dataclass(frozen=True)
class Segment:
    """A piece of a rendered prompt.

    Attributes:
        text: The text; empty for a spelled item.
        trusted: Whether it was written by a template, so that markup in it counts.
        item: For a spelled item, its place in the history; otherwise None.
        image: For the image of an item, the item's place; otherwise None.
    """

    text: str
    trusted: bool
    item: int | None = None
    image: int | None = None


def mark_item(place: int) -> str:
    """What a template prints for the spelling of a history's item."""
    return f"\ue000{_SECRET}{place};"


def mark_image(spelling: str) -> str:
    """What a template prints for the image of an item that is spelled so.

    Raises:
        ValueError: The text is no spelling.
    """
    match = _ITEM.fullmatch(spelling)
    if match is None:
        raise ValueError("the filter 'image' takes an item: {{ item | image }}")
    return f"{match[1]}i{match[2]}"


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
        elif _PART.fullmatch(part):
            place = part[len(_OPEN) - 1 : -1]
            if place.startswith("i"):
                yield Segment("", trusted=False, image=int(place[1:]))
            else:
                yield Segment("", trusted=False, item=int(place))
        elif _SECRET in part:
            raise ValueError("a mark is torn")
        else:
            yield Segment(part, trusted=depth == 0)
    if depth:
        raise ValueError("a mark is left open")

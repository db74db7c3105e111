"""An item as templates see it."""

from collections.abc import Callable, Mapping
from typing import Any


class ItemView:
    """Has the fields of a catalog's item as attributes, and looks them up once one is read.

    Args:
        spelling: What stands for the item's spelling.
        position: The item's catalog position.
        fields: Gives the fields of a position.
        slots: What is told of the item's place in the prompt; a field hides a slot of its name.
    """

    __slots__ = ("_fields", "_position", "_slots", "spelling")

    def __init__(
        self,
        spelling: str,
        position: int,
        fields: Callable[[int], Mapping[str, Any]],
        slots: Mapping[str, Any],
    ) -> None:
        self.spelling = spelling
        self._position, self._fields, self._slots = position, fields, slots

    def __str__(self) -> str:
        raise TypeError("an item is printed whole: print item.title or item.spelling")

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            for told in (self._fields(self._position), self._slots):
                if name in told:
                    return told[name]
        raise AttributeError(name)

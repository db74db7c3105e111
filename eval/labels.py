"""Labels for what has no value of its own."""

from collections.abc import Collection


def unused_label(label: str, values: Collection[str]) -> str:
    """A label that none of the values is: in as many brackets as that takes."""
    while label in values:
        label = f"({label})"
    return label

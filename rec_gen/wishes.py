"""What a person states of the items that may come."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wish:
    """One thing that a message states.

    Attributes:
        said: The words, as they were written.
        rule: What an item must pass, see `rec_gen.rules`.
        block: Ids of items that must not come back.
        lifts: An earlier rule that holds no longer.
        problem: Why the wish cannot be kept; then it has no effect.
    """

    said: str
    rule: str | None = None
    block: tuple[str, ...] = ()
    lifts: str | None = None
    problem: str | None = None

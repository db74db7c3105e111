"""What one request of many did wrong stands in its place and harms no other."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from rec_gen.errors import RecGenError

Q = TypeVar("Q")
A = TypeVar("A")


def answer_each(
    ask: Callable[[Sequence[Q]], list[A]],
    queries: Sequence[Q],
    harmless: tuple[type[RecGenError], ...] = (RecGenError,),
) -> list[A | RecGenError]:
    """Ask for all at once; after an error, for each half by itself.

    Args:
        ask: Answers all queries or raises.
        queries: What is asked, at least one.
        harmless: The errors that are one query's own; others are raised.
    """
    try:
        return list(ask(queries))
    except harmless as error:
        if len(queries) == 1:
            return [error]
    half = len(queries) // 2
    first, second = queries[:half], queries[half:]
    return [*answer_each(ask, first, harmless), *answer_each(ask, second, harmless)]

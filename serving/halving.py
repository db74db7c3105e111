"""What one request of many did wrong stands in its place and harms no other."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
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


def answer_alike(
    ask: Callable[[Sequence[Q]], list[A]], queries: Sequence[Q], alike: Callable[[Q], Hashable]
) -> list[A | RecGenError]:
    """Ask for all queries at once that are alike.

    Args:
        ask: Answers queries that are alike, or raises.
        queries: What is asked.
        alike: What queries must have in common.

    Returns:
        In the order of the queries, an answer, or what the query did wrong.
    """
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place, query in enumerate(queries):
        groups[alike(query)].append(place)
    answers: dict[int, A | RecGenError] = {}
    for places in groups.values():
        found = answer_each(ask, [queries[place] for place in places])
        answers.update(zip(places, found, strict=True))
    return [answers[place] for place in range(len(queries))]

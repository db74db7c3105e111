"""What a list of several catalogs promises of each of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rec_gen.answers import Recommendation
from rec_gen.domains import check_domain
from rec_gen.errors import DecodingError
from rec_gen.shared_items import Histories, SharedItems

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Placed:
    """A place in a mixed list.

    Attributes:
        domain: The item's catalog.
        recommendation: The item, and its score among the items of its own catalog.
    """

    domain: str
    recommendation: Recommendation


def interleave(lists: Mapping[str, Sequence[Entry]]) -> list[tuple[str, Entry]]:
    """Merge lists so that each beginning is shared out much as the whole is.

    The i-th of n entries stands at (i - 1/2) / n, which is the order in which Webster's method
    (Sainte-Lague, 1910) gives out seats. Scores of different catalogs are not compared, since each
    is a share of its own.

    Args:
        lists: By name, entries in their order; where two stand at one place, the first name's.

    Returns:
        Each entry with its name; the order within a list stays.
    """
    places = [
        ((rank + 0.5) / len(entries), number, name, entry)
        for number, (name, entries) in enumerate(lists.items())
        for rank, entry in enumerate(entries)
    ]
    return [(name, entry) for _, _, name, entry in sorted(places, key=lambda place: place[:2])]


def check_quota(quota: Mapping[str, int], domains: Collection[str]) -> None:
    """Refuse a quota that cannot be meant.

    Args:
        quota: How many items of each domain.
        domains: The domains that there are.

    Raises:
        BundleError: There is no such domain.
        DecodingError: A number is not at least 1, or there is none.
    """
    for name, count in quota.items():
        check_domain(name, domains)
        if count < 1:
            raise DecodingError(f"quota of '{name}' is {count}: promise at least 1, or none")
    if not quota:
        raise DecodingError("quota: promise items of at least one domain")


def shortage(name: str, quota: Mapping[str, int], found: int) -> str | None:
    """What is said of a list that is shorter than its quota; None of one that is not.

    Args:
        name: The domain.
        quota: How many items of each domain.
        found: How many there are.
    """
    if found == quota[name]:
        return None
    advice = "promise fewer" + ("" if name == next(iter(quota)) else ", or name it first")
    return f"'{name}' has {found} left of the {quota[name]} items that were promised: {advice}"


@dataclass(frozen=True)
class Part:
    """What one domain is asked, for its part of a mixed list.

    Attributes:
        history: Item ids of the domain, oldest first.
        block: Items of the domain that the list has elsewhere, or that were seen elsewhere.
    """

    history: list[str]
    block: list[str]

    @classmethod
    def of(
        cls,
        name: str,
        history: Histories,
        chosen: Mapping[str, Sequence[Recommendation]],
        shared: SharedItems,
        *,
        exclude_seen: bool,
    ) -> "Part":
        """What a domain is asked after the domains that the quota names before it.

        Args:
            name: The domain.
            history: What the user did in each domain.
            chosen: What the list has by now of each domain.
            shared: What the domains have in common.
            exclude_seen: Never return an item with the title of one that was seen elsewhere.
        """
        elsewhere = shared.carried(history, name)
        given = {domain: [one.item.id for one in answer] for domain, answer in chosen.items()}
        return cls(
            list(history.get(name, ())) or elsewhere,
            [*(elsewhere if exclude_seen else ()), *shared.carried(given, name)],
        )

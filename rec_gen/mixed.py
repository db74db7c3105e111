"""One list of several catalogs, with as many items of each as was promised."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rec_gen.answers import Recommendation
from rec_gen.bundle import Bundle
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.runtimes import runtime_for
from rec_gen.domains import check_domain
from rec_gen.errors import DecodingError, NoEligibleItemError
from rec_gen.index import Filters
from rec_gen.models import move_to
from rec_gen.recommender import Recommender
from rec_gen.shared_items import Histories, SharedItems, Sharing

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


def recommenders_of(bundle: Bundle, runtime: Runtime | None = None) -> dict[str, Recommender]:
    """A recommender for each catalog of a bundle, the first one first, on one model.

    Args:
        bundle: What was trained, with its domains.
        runtime: What runs the bundle's model, where that is not transformers.
    """
    runtime = runtime or runtime_for(bundle.model)
    names = (bundle.manifest.dataset, *bundle.domains)
    return {name: Recommender(bundle.domain(name), runtime) for name in names}


class MixedRecommender:
    """Recommends from all catalogs of a bundle, on one model.

    Args:
        bundle: What was trained, with its domains.
        runtime: What runs the bundle's model, where that is not transformers.

    Attributes:
        recommenders: A recommender for each catalog by its name, the first one's being that of its
            data set.

    Example:
        >>> mixed = MixedRecommender.load("runs/domains/bundle")  # doctest: +SKIP
        >>> history = {"movielens-1m": ["1", "260"]}  # doctest: +SKIP
        >>> mixed.recommend([history], {"movielens-1m": 6, "ml-latest-small": 4})  # doctest: +SKIP
    """

    def __init__(self, bundle: Bundle, runtime: Runtime | None = None) -> None:
        self.recommenders = recommenders_of(bundle, runtime)
        self._sharing = Sharing()

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None) -> "MixedRecommender":
        """Load a bundle.

        Args:
            path: The bundle's folder.
            device: Where to run, such as `cpu` or `cuda`; CUDA if there is one.

        Raises:
            BundleError: The bundle is incomplete or was changed.
            ModelError: torch cannot use the device.
        """
        bundle = Bundle.load(Path(path))
        move_to(bundle.model, device)
        return cls(bundle)

    def recommend(
        self,
        histories: Sequence[Histories],
        quota: Mapping[str, int],
        *,
        exclude_seen: bool = True,
        beam_width: int = 20,
    ) -> list[list[Placed]]:
        """Recommend one list for each user.

        A catalog in which a user has no history is asked with what they chose elsewhere, as far as
        it has the same titles. A title that several catalogs have stands in a list once.

        Args:
            histories: For each user, item ids by domain, oldest first; a domain may be absent.
            quota: How many items of each domain; the first are asked first.
            exclude_seen: Never return an item of a history, or one with its title elsewhere.
            beam_width: Prefixes that go on at once.

        Returns:
            For each user exactly the promised items, in the order of `interleave`.

        Raises:
            BundleError: There is no such domain.
            DataError: An item is not in its domain's catalog.
            DecodingError: A quota is not at least 1, there is none, or a domain has fewer items
                left than were promised.
        """
        check_quota(quota, self.recommenders)
        for history in histories:
            self._check(history)
        lists: list[dict[str, list[Recommendation]]] = [{} for _ in histories]
        shared = self._sharing.among(self.recommenders)
        for name, count in quota.items():
            parts = [
                Part.of(name, history, chosen, shared, exclude_seen=exclude_seen)
                for history, chosen in zip(histories, lists, strict=True)
            ]
            try:
                answers = self.recommenders[name].recommend(
                    [part.history for part in parts],
                    count,
                    exclude_seen=exclude_seen,
                    filters=[Filters(block=part.block) for part in parts],
                    beam_width=beam_width,
                )
            except NoEligibleItemError as error:
                said = f"request {error.request}: {shortage(name, quota, 0)}"
                raise DecodingError(said) from error
            for user, (chosen, answer) in enumerate(zip(lists, answers, strict=True)):
                if short := shortage(name, quota, len(answer)):
                    raise DecodingError(f"request {user}: {short}")
                chosen[name] = list(answer)
        return [[Placed(*entry) for entry in interleave(chosen)] for chosen in lists]

    def _check(self, history: Histories) -> None:
        for name, items in history.items():
            check_domain(name, self.recommenders)
            for item in items:
                self.recommenders[name].catalog.position(item)

"""One list of several catalogs, with as many items of each as was promised."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rec_gen.answers import Recommendation
from rec_gen.bundle import Bundle
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.runtimes import runtime_for
from rec_gen.errors import BundleError, DecodingError
from rec_gen.index import Filters
from rec_gen.models import move_to
from rec_gen.recommender import Recommender

Entry = TypeVar("Entry")
Histories = Mapping[str, Sequence[str]]
"""Item ids by domain, oldest first."""


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
        runtime = runtime or runtime_for(bundle.model)
        names = (bundle.manifest.dataset, *bundle.domains)
        parts = {name: bundle.domain(name) for name in names}
        self.recommenders = {name: Recommender(part, runtime) for name, part in parts.items()}
        self._tokens = {
            name: {
                item: tokens.tobytes()
                for item, tokens in zip(part.catalog.ids, part.spellings.tokens, strict=True)
            }
            for name, part in parts.items()
        }
        self._ids = {
            name: {tokens: item for item, tokens in spelled.items()}
            for name, spelled in self._tokens.items()
        }

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
        for name in {*quota, *(name for history in histories for name in history)}:
            self._recommender(name)
        for name, count in quota.items():
            if count < 1:
                raise DecodingError(f"quota of '{name}' is {count}: promise at least 1, or none")
        if not quota:
            raise DecodingError("quota: promise items of at least one domain")
        lists: list[dict[str, list[Recommendation]]] = [{} for _ in histories]
        for name, count in quota.items():
            asked, filters = [], []
            for history, chosen in zip(histories, lists, strict=True):
                elsewhere = self._carried(history, name)
                asked.append(list(history.get(name, ())) or elsewhere)
                given = {
                    domain: [one.item.id for one in answer] for domain, answer in chosen.items()
                }
                seen = elsewhere if exclude_seen else []
                filters.append(Filters(block=[*seen, *self._carried(given, name)]))
            answers = self._recommender(name).recommend(
                asked, count, exclude_seen=exclude_seen, filters=filters, beam_width=beam_width
            )
            for user, (chosen, answer) in enumerate(zip(lists, answers, strict=True)):
                if len(answer) < count:
                    raise DecodingError(
                        f"request {user}: '{name}' has {len(answer)} items left of the {count} "
                        "that were promised; promise fewer, or name it first"
                    )
                chosen[name] = list(answer)
        return [[Placed(*entry) for entry in interleave(chosen)] for chosen in lists]

    def _recommender(self, name: str) -> Recommender:
        if name not in self.recommenders:
            known = ", ".join(self.recommenders)
            raise BundleError(f"domain '{name}': the bundle knows {known}; name one of these")
        return self.recommenders[name]

    def _carried(self, histories: Histories, name: str) -> list[str]:
        """The items of other domains that a domain has too, by its own ids."""
        found: list[str] = []
        for domain, items in histories.items():
            if domain != name:
                found += self._same(items, domain, name)
        return found

    def _same(self, items: Iterable[str], domain: str, name: str) -> list[str]:
        catalog, tokens, ids = (
            self.recommenders[domain].catalog,
            self._tokens[domain],
            self._ids[name],
        )
        known = [tokens.get(catalog.ids[catalog.position(item)]) for item in items]
        return [ids[key] for key in known if key in ids]

"""One list of several catalogs, with as many items of each as was promised."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rec_gen.answers import Recommendation
from rec_gen.bundle import Bundle
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.runtimes import runtime_for
from rec_gen.domains import check_domain
from rec_gen.errors import DecodingError, NoEligibleItemError
from rec_gen.index import Filters
from rec_gen.models import move_to
from rec_gen.quotas import Part, Placed, check_quota, interleave, shortage
from rec_gen.recommender import Recommender
from rec_gen.shared_items import Histories, Sharing


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

"""The Python API: histories in, catalog items out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from rec_gen.bundle import Bundle
from rec_gen.catalog import Item
from rec_gen.decoding.filters import eligible_items
from rec_gen.decoding.search import Score, SearchResult, beam_search
from rec_gen.decoding.transformers_runtime import TransformersRuntime
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import NoEligibleItemError


@dataclass(frozen=True)
class Recommendation:
    """A recommended item.

    Attributes:
        item: The item.
        score: Its log-probability after the prompt.
    """

    item: Item
    score: float


class Recommender:
    """Recommends items of a bundle's catalog.

    Example:
        >>> recommender = Recommender.load("runs/quickstart/bundle")  # doctest: +SKIP
        >>> recommender.recommend([["50", "172"]], k=3)  # doctest: +SKIP
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.catalog = bundle.catalog
        self._renderer = bundle.renderer()
        self._runtime = TransformersRuntime(bundle.model)
        self._trie = CatalogTrie.build(bundle.spellings.tokens).to(self._runtime.device)

    @classmethod
    def load(
        cls, path: str | Path, *, device: str | None = None, template: str | None = None
    ) -> "Recommender":
        """Load a bundle.

        Args:
            path: The bundle's folder.
            device: Where to run, such as `cpu` or `cuda`; CUDA if there is one.
            template: A template that you mean to use; it must be the one of training.

        Raises:
            BundleError: The bundle is incomplete or was changed.
        """
        bundle = Bundle.load(Path(path), template)
        bundle.model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        return cls(bundle)

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        block: Iterable[str] = (),
        allow: Iterable[str] | None = None,
        score: Score = "lm",
        beam_width: int = 20,
        batch_size: int = 32,
    ) -> list[list[Recommendation]]:
        """Recommend items after each history.

        Args:
            histories: For each request, item ids, oldest first; an empty history is allowed.
            k: Items to return for each request.
            exclude_seen: Never return an item of the history.
            block: Item ids that are never returned.
            allow: The only item ids that may be returned; None allows the whole catalog.
            score: `lm` or `catalog`, see `rec_gen.decoding.search.beam_search`.
            beam_width: Prefixes kept for each request; more find likelier items.
            batch_size: Requests that run together.

        Returns:
            For each request exactly `k` distinct eligible items, best first, or all of them when
            fewer are eligible.

        Raises:
            DataError: An item id is not in the catalog.
            NoEligibleItemError: Every item is filtered for a request.
        """
        blocked = self._positions(block)
        allowed = None if allow is None else self._positions(allow)
        read = [self._positions(history) for history in histories]
        results: list[SearchResult] = []
        for start in range(0, len(read), batch_size):
            batch = read[start : start + batch_size]
            excluded = [[*blocked, *(seen if exclude_seen else ())] for seen in batch]
            prompts = [self._renderer.render(seen).ids for seen in batch]
            eligible = eligible_items(len(self.catalog), excluded, allowed)
            try:
                results += beam_search(
                    self._runtime, prompts, self._trie, eligible, k, beam_width, score
                )
            except NoEligibleItemError as error:
                raise NoEligibleItemError(start + error.request) from None
        return [self._answer(result) for result in results]

    def _answer(self, result: SearchResult) -> list[Recommendation]:
        pairs = zip(result.items, result.scores, strict=True)
        return [Recommendation(self.catalog[item], score) for item, score in pairs]

    def _positions(self, items: Iterable[str]) -> list[int]:
        return [self.catalog.position(item) for item in items]
